-- Give back the right to load, where the caller still has it: the next one who waits may load at once.
--
-- KEYS  the entry
-- ARGV  token of the caller

local stored = redis.call('HMGET', KEYS[1], 'lease', 'until')
if stored[1] ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'lease', 'lease_until')
if stored[2] then redis.call('PEXPIREAT', KEYS[1], stored[2]) end
return 1
