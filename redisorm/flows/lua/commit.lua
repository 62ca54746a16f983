-- Verify everything, then write everything.
--
-- KEYS  every key that is read or written
-- ARGV  count of reads,  then for each: count of words, words …, the reply it had
--       count of writes, then for each: count of words, words …
--
-- Returns the replies of the writes, or false where a read has another reply now and nothing was written.
-- A script does not roll back, so a command this user may not run is refused before the first write too.

local function spelled(reply)
  if type(reply) == 'number' then return string.format(':%.0f', reply) end
  if type(reply) == 'string' then return '$' .. #reply .. ':' .. reply end
  if type(reply) ~= 'table' then return '_' end
  if reply.ok then return '$' .. #reply.ok .. ':' .. reply.ok end
  local parts = {}
  for i = 1, #reply do parts[i] = spelled(reply[i]) end
  return '*' .. #reply .. table.concat(parts)
end

local at = 1
local function take()
  local size = tonumber(ARGV[at])
  local first = at + 1
  at = first + size
  return first, at - 1
end

local reads = tonumber(ARGV[at])
at = at + 1
for _ = 1, reads do
  local first, last = take()
  local reply = redis.call(unpack(ARGV, first, last))
  if spelled(reply) ~= ARGV[at] then return false end
  at = at + 1
end

local writes = tonumber(ARGV[at])
at = at + 1
local start = at
for _ = 1, writes do
  local first, last = take()
  if not redis.acl_check_cmd(unpack(ARGV, first, last)) then
    return redis.error_reply('NOPERM this user may not run ' .. ARGV[first] .. ' on ' .. ARGV[first + 1])
  end
end

at = start
local replies = {}
for i = 1, writes do
  local first, last = take()
  replies[i] = redis.call(unpack(ARGV, first, last))
end
return replies
