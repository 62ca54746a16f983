-- Give one caller the right to load a value, unless somebody has it, or the value changed since the caller looked.
--
-- KEYS  the entry, then the tags it belongs to
-- ARGV  token of the caller, for how many ms it may load, the field `fresh` as it was seen ('' for none), 1 to load in any case
--
-- Returns {1, now in ms} to the one who loads, {0, ms until the present one's right ends} to one who waits, and {2, 0} where
-- somebody filled the entry meanwhile: look again. The clock is the server's. An entry is in its tags before it is loaded, so that whoever
-- invalidates a tag takes the right to fill from those who load.

local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', key, 'fresh', 'lease', 'lease_until')

if ARGV[4] ~= '1' then
  if (stored[1] or '') ~= ARGV[3] then return {2, 0} end
  if stored[2] and stored[2] ~= ARGV[1] and tonumber(stored[3]) > now then return {0, tonumber(stored[3]) - now} end
end

local ends = now + ARGV[2]
local deadline = string.format('%.0f', ends)
redis.call('HSET', key, 'lease', ARGV[1], 'lease_until', deadline)
if redis.call('PTTL', key) < ends - now then redis.call('PEXPIREAT', key, deadline) end
for i = 2, #KEYS do
  local gone = redis.call('ZRANGE', KEYS[i], '-inf', string.format('(%.0f', now), 'BYSCORE', 'LIMIT', 0, 100)
  if gone[1] then redis.call('ZREM', KEYS[i], unpack(gone)) end
  redis.call('ZADD', KEYS[i], 'GT', deadline, key)
  redis.call('PEXPIREAT', KEYS[i], deadline, 'NX')
  redis.call('PEXPIREAT', KEYS[i], deadline, 'GT')
end
return {1, now}
