-- Verify what one row is taken for, and then run a few commands. Behind refusing.lua and taking.lua.
--
-- KEYS  those that must be absent come first
-- ARGV  count of keys that must be absent
--       count of hashes, then for each: key, count of fields it must have, these, their texts, each after '=', or '-' for none
--       count of commands, then for each: count of words, words …
--
-- Returns the reply of the last command, or false where something is otherwise and nothing was written.

local absent = number()
if absent > 0 and call('EXISTS', unpack(KEYS, 1, absent)) > 0 then return false end
for _ = 1, number() do
  local key = take(1)
  local fields = number()
  local first, last = take(fields)
  local held = redis.pcall('HMGET', ARGV[key], unpack(ARGV, first, last))
  if held.err then return false end
  for i = 1, fields do
    if (held[i] and '=' .. held[i] or '-') ~= ARGV[last + i] then return false end
  end
  take(fields)
end

local commands = at
for _ = 1, number() do
  local first, last = take(number())
  local refused = refusal(unpack(ARGV, first, last))
  if refused then return refused end
end
at = commands
local reply
for _ = 1, number() do
  local first, last = take(number())
  reply = call(unpack(ARGV, first, last))
end
return reply
