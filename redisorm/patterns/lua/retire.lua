-- Remove a consumer that reads no more from a group. What it has after all is given to another one, as it is.
--
-- KEYS  the stream, the state of the group
-- ARGV  group, consumer, the other one, the field that counts claims
--
-- Returns how many entries were given.

local left = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, entry in ipairs(left) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, entry[1], 'IDLE', entry[3], 'RETRYCOUNT', entry[4], 'JUSTID')
end
if left[1] then redis.call('HINCRBY', KEYS[2], ARGV[4], 1) end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return #left
