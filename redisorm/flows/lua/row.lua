-- Write one row and its entries in indexes, if all is as the commit takes it for. Behind refusing.lua.
--
-- KEYS  the row; where indexes change, its memo, which must be absent, and the sorted set of each move
-- ARGV  count of fields the row must have, 0 where it must be absent; count of fields to remove
--       the fields it must have, their texts, each after '=', or '-' for none; the fields to remove
--       for each move: the score of the member, or an empty word where it leaves, and the member
--       field, text, field, text, …
--
-- Returns how many fields are new, or false where something is otherwise and nothing was written.

local ARGV, KEYS, call = ARGV, KEYS, redis.call
local row, fields, gone, moves = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), math.max(#KEYS - 2, 0)
local first = 2 * fields + gone + 3
local rest = first + 2 * moves

if fields == 0 then
  if call('EXISTS', unpack(KEYS, 1, math.min(#KEYS, 2))) > 0 then return false end
else
  local held = redis.pcall('HMGET', row, unpack(ARGV, 3, fields + 2))
  if held.err then return false end
  for i = 1, fields do
    if (held[i] and '=' .. held[i] or '-') ~= ARGV[fields + 2 + i] then return false end
  end
  if KEYS[2] and call('EXISTS', KEYS[2]) == 1 then return false end
end

if moves + gone > 0 then
  local refused = refusal('HSET', row, '', '') or gone > 0 and refusal('HDEL', row, '')
  for i = 1, moves do
    local score, member = ARGV[first + 2 * i - 2], ARGV[first + 2 * i - 1]
    if score == '' then
      refused = refused or refusal('ZREM', KEYS[i + 2], member)
    else
      refused = refused or refusal('ZADD', KEYS[i + 2], score, member)
    end
  end
  if refused then return refused end
end

local new = rest < #ARGV and call('HSET', row, unpack(ARGV, rest)) or 0
if gone > 0 then call('HDEL', row, unpack(ARGV, first - gone, first - 1)) end
for i = 1, moves do
  local score, member = ARGV[first + 2 * i - 2], ARGV[first + 2 * i - 1]
  if score == '' then
    call('ZREM', KEYS[i + 2], member)
  else
    call('ZADD', KEYS[i + 2], score, member)
  end
end
return new
