-- Take a lock where nobody holds it.
--
-- KEYS  who holds it, the last fence number
-- ARGV  token of the taker, time to live in ms, time to live of the fence number in ms
--
-- Returns the fence number and 0, or 0 and for how many ms the present holder has it yet. Run again by the one who has it, it
-- answers the same. A fence number is larger than every one before: the time in microseconds where the last one is forgotten.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end

local fence = tonumber(redis.call('GET', KEYS[2]) or 0)
if not holder or fence == 0 then
  local time = redis.call('TIME')
  fence = math.max(fence + 1, time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {fence, 0}
