-- Store what was loaded, where the caller still has the right to: nobody invalidated the entry, and nobody took over.
--
-- KEYS  the entry, then the tags it belongs to
-- ARGV  token of the caller, when it began to load in ms, the value, the hash of its schema, for how many ms it is fresh (0: it is not kept),
--       for how many ms more it may be served while it is loaded anew
--
-- Returns 1, or 0 where the right was lost and nothing was stored.

local key = KEYS[1]
if redis.call('HGET', key, 'lease') ~= ARGV[1] then return 0 end
if ARGV[5] == '0' then
  redis.call('UNLINK', key)
  return 1
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fresh = string.format('%.0f', now + ARGV[5])
local deadline = string.format('%.0f', now + ARGV[5] + ARGV[6])
local cost = string.format('%.0f', math.max(0, now - ARGV[2]))
redis.call('HSET', key, 'value', ARGV[3], 'fresh', fresh, 'until', deadline, 'cost', cost, 'schema', ARGV[4])
redis.call('HDEL', key, 'lease', 'lease_until')
redis.call('PEXPIREAT', key, deadline)
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], 'GT', deadline, key)
  redis.call('PEXPIREAT', KEYS[i], deadline, 'NX')
  redis.call('PEXPIREAT', KEYS[i], deadline, 'GT')
end
return 1
