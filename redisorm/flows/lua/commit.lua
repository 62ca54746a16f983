-- Verify everything, then write everything.
--
-- KEYS  every key that is read or written; those that must be absent come first
-- ARGV  count of keys that must be absent
--       count of typed keys, then for each: key, the type it must have, if it is there
--       count of rows,   then for each: count of fields, HMGET, key, fields …, their texts, each after '=', or '-' for none
--       count of reads,  then for each: count of words, words …, the reply it must have
--       count of tables, then for each: count of fields, fields …, place of its first key, count of rows, values row by row …
--       count of writes, then for each: count of words, words …
--
-- A table is new rows of the same fields under consecutive keys: one HSET each.
-- Returns the replies of the writes, or false where something is not as expected and nothing was written.
-- A script does not roll back, so a command this user may not run is refused before the first write too.

local ARGV, KEYS, call, ask, tonumber, unpack = ARGV, KEYS, redis.call, redis.pcall, tonumber, unpack

local at = 1
local function number()
  at = at + 1
  return tonumber(ARGV[at - 1])
end
local function take(size)
  at = at + size
  return at - size, at - 1
end

local function spelled(reply)
  if type(reply) == 'number' then return string.format(':%.0f', reply) end
  if type(reply) == 'string' then return '$' .. #reply .. ':' .. reply end
  if type(reply) ~= 'table' then return '_' end
  if reply.err then return '-' .. reply.err end
  if reply.ok then return '$' .. #reply.ok .. ':' .. reply.ok end
  local parts = {}
  for i = 1, #reply do parts[i] = spelled(reply[i]) end
  return '*' .. #reply .. table.concat(parts)
end

local absent = number()
for first = 1, absent, 5000 do
  if call('EXISTS', unpack(KEYS, first, math.min(first + 4999, absent))) > 0 then return false end
end
for _ = 1, number() do
  local first, last = take(2)
  local kind = call('TYPE', ARGV[first]).ok
  if kind ~= 'none' and kind ~= ARGV[last] then return false end
end
for _ = 1, number() do
  local fields = number()
  local first, last = take(fields + 2)
  local reply = ask(unpack(ARGV, first, last))
  if reply.err then return false end
  for i = 1, fields do
    local text = reply[i]
    if (text and '=' .. text or '-') ~= ARGV[last + i] then return false end
  end
  take(fields)
end
for _ = 1, number() do
  local first, last = take(number())
  local reply = ask(unpack(ARGV, first, last))
  if ARGV[first] == 'XPENDING' and not reply.err then
    -- which entry and whose, without the time it has been idle
    for i, entry in ipairs(reply) do reply[i] = {entry[1], entry[2]} end
  end
  if spelled(reply) ~= ARGV[at] then return false end
  at = at + 1
end

local function allowed(name, key, ...)
  if redis.acl_check_cmd(name, key, ...) then return true end
  return false, redis.error_reply('NOPERM this user may not run ' .. name .. ' on ' .. key)
end

-- What a user may do with these, if they have many words, hangs on the first few.
local one_key = {ZADD = true, ZREM = true, SADD = true, SREM = true, HSET = true, HDEL = true, RPUSH = true}

local start = at
for _ = 1, number() do
  local fields = number()
  take(fields)
  local key, rows = number(), number()
  for row = key, key + rows - 1 do
    local fine, refusal = allowed('HSET', KEYS[row], '', '')
    if not fine then return refusal end
  end
  take(fields * rows)
end
for _ = 1, number() do
  local first, last = take(number())
  if one_key[ARGV[first]] then last = math.min(last, first + 3) end
  local fine, refusal = allowed(unpack(ARGV, first, last))
  if not fine then return refusal end
end

at = start
for _ = 1, number() do
  local fields = number()
  local names = take(fields)
  local key, rows = number(), number()
  local words = {}
  for i = 1, fields do words[2 * i] = ARGV[names + i - 1] end
  local size = 2 * fields + 1
  for row = key, key + rows - 1 do
    local value = take(fields)
    words[1] = KEYS[row]
    for i = 1, fields do words[2 * i + 1] = ARGV[value + i - 1] end
    call('HSET', unpack(words, 1, size))
  end
end
local replies = {}
for i = 1, number() do
  local first, last = take(number())
  replies[i] = call(unpack(ARGV, first, last))
end
return replies
