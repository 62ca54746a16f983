-- Decide a hit against several limits, all or nothing, each over exactly the time that lies behind it.
--
-- KEYS  a sorted set of the hits of the longest period: member "total:cost", score the hit's time in microseconds.
--       The total counts on, so what a period has seen is a difference of two totals.
-- ARGV  1 to consume or 0 to look, the cost, count of limits, then for each limit: per in microseconds, amount
--
-- Returns 1 or 0 for allowed, then for each limit: what it has seen now, microseconds until the hit fits (0 where it does,
-- -1 where it never will), microseconds until it has seen nothing.
-- The clock is the server's. What is denied, and what only looks, writes nothing.

local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function text(number) return string.format('%.0f', number) end

local function split(member)
  local total, cost = string.match(member, '(%d+):(%d+)')
  return tonumber(total), tonumber(cost)
end

local total, latest = 0, 0
local newest = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
if newest[1] then
  total = split(newest[1])
  latest = tonumber(newest[2])
end

-- The total before a period began, and the score of the hit that says so.
local function base(per)
  local found = redis.call('ZREVRANGEBYSCORE', key, text(now - per), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if found[1] then return split(found[1]), tonumber(found[2]) end
  local oldest = redis.call('ZRANGE', key, 0, 0)
  if not oldest[1] then return 0, 0 end
  local seen, cost = split(oldest[1])
  return seen - cost, 0
end

-- When the first hit whose total reaches this one was made.
local function reached(wanted)
  local low, high = 0, redis.call('ZCARD', key) - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if split(redis.call('ZRANGE', key, middle, middle)[1]) >= wanted then high = middle else low = middle + 1 end
  end
  return tonumber(redis.call('ZRANGE', key, low, low, 'WITHSCORES')[2])
end

local consume, cost, count = ARGV[1] == '1', tonumber(ARGV[2]), tonumber(ARGV[3])
local reply, allowed = {1}, true
local longest, keep = 0, 0
for i = 1, count do
  local per, amount = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
  local before, score = base(per)
  local used, wait = total - before, 0
  if cost > amount then
    wait = -1
  elseif used + cost > amount then
    wait = reached(total + cost - amount) + per - now
  end
  if wait ~= 0 then allowed = false end
  if per > longest then longest, keep = per, score end
  reply[3 * i - 1] = used
  reply[3 * i] = wait
  reply[3 * i + 1] = used > 0 and latest + per - now or 0
end

if not allowed then
  reply[1] = 0
elseif consume then
  latest = math.max(now, latest + 1)
  redis.call('ZADD', key, text(latest), text(total + cost) .. ':' .. text(cost))
  redis.call('PEXPIREAT', key, text(math.ceil((latest + longest) / 1000)))
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. text(keep))
  for i = 1, count do
    reply[3 * i - 1] = reply[3 * i - 1] + cost
    reply[3 * i + 1] = latest + tonumber(ARGV[2 * i + 2]) - now
  end
end
return reply
