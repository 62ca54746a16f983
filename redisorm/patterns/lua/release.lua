-- Give a lock back, where it is still held with this token, and wake one who waits for it.
--
-- KEYS  who holds it, the list on which others wait
-- ARGV  token, for how many ms the wake-up call is kept where nobody waits just now
--
-- Returns 1, or 0 where it is held with another token or not at all.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('RPUSH', KEYS[2], '1')
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
