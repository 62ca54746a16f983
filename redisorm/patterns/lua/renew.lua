-- Let a lock live on, where it is still held with this token.
--
-- KEYS  who holds it
-- ARGV  token, time to live in ms
--
-- Returns 1, or 0 where it is held with another token or not at all.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
