-- Run commands one after the other.
--
-- KEYS  every key they use; a row that they belong to comes first
-- ARGV  how many of the other keys get the deadline of that row; '' where there is no row
--       for each command: count of words, words …
--
-- Returns the replies, or false where the row is not there and nothing was written.
-- The first command that fails ends it: what comes behind it, as a deadline, is then never set on a key of another type.
-- A script does not roll back, so a command this user may not run is refused before the first one runs.

local function each(act)
  local at = 2
  while at <= #ARGV do
    local last = at + tonumber(ARGV[at])
    act(at + 1, last)
    at = last + 1
  end
end

local row = ARGV[1] ~= ''
local deadline = row and redis.call('PEXPIRETIME', KEYS[1])
if deadline == -2 then return false end

local refusal
each(function(first, last)
  if not refusal and not redis.acl_check_cmd(unpack(ARGV, first, last)) then
    refusal = redis.error_reply('NOPERM this user may not run ' .. ARGV[first] .. ' on ' .. ARGV[first + 1])
  end
end)
if refusal then return refusal end

local replies = {}
each(function(first, last) replies[#replies + 1] = redis.call(unpack(ARGV, first, last)) end)
if row and deadline > 0 then
  for i = 2, 1 + ARGV[1] do redis.call('PEXPIREAT', KEYS[i], string.format('%.0f', deadline)) end
end
return replies
