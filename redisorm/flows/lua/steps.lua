-- Run commands one after the other. Behind refusing.lua.
--
-- KEYS  every key they use; a row that they belong to comes first
-- ARGV  how many of the other keys get the deadline of that row; '' where there is no row
--       for each command: count of words, words …
--
-- Returns the replies, or false where the row is not there and nothing was written.
-- The first command that fails ends it: what comes behind it, as a deadline, is then never set on a key of another type.

local row = ARGV[1] ~= ''
local deadline = row and redis.call('PEXPIRETIME', KEYS[1])
if deadline == -2 then return false end

local at = 2
while at <= #ARGV do
  local last = at + ARGV[at]
  local refused = refusal(unpack(ARGV, at + 1, last))
  if refused then return refused end
  at = last + 1
end

local replies = {}
at = 2
while at <= #ARGV do
  local last = at + ARGV[at]
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, last))
  at = last + 1
end
if row and deadline > 0 then
  for i = 2, 1 + ARGV[1] do redis.call('PEXPIREAT', KEYS[i], string.format('%.0f', deadline)) end
end
return replies
