-- Decide a hit against several limits, all or nothing, by the generic cell rate algorithm.
--
-- KEYS  the state: words "per:amount:tat:rest", one for each period. A bucket is empty again at tat + rest/amount microseconds.
-- ARGV  1 to consume or 0 to look, count of limits, then for each limit: per, amount in microseconds and units,
--       and what the hit costs: whole microseconds, and the rest in parts of 1/amount
--
-- Returns 1 or 0 for allowed, then for each limit how far its bucket is filled now: microseconds, rest.
-- The clock is the server's. What is denied, and what only looks, writes nothing.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local stored = {}
for per, amount, tat, rest in string.gmatch(redis.call('GET', KEYS[1]) or '', '(%d+):(%d+):(%d+):(%d+)') do
  stored[per] = {amount, tonumber(tat), tonumber(rest)}
end

local count = tonumber(ARGV[2])
local allowed = 1
local before, after = {}, {}
for i = 1, count do
  local at = 4 * i - 1
  local per, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local tat, rest = now, 0
  local known = stored[ARGV[at]]
  if known then
    tat, rest = known[2], known[3]
    if known[1] ~= ARGV[at + 1] and rest > 0 then tat, rest = tat + 1, 0 end
    if tat < now then tat, rest = now, 0 end
    if tat - now >= per then tat, rest = now + per, 0 end
  end
  before[i] = {tat - now, rest}
  tat, rest = tat + ARGV[at + 2], rest + ARGV[at + 3]
  if rest >= amount then tat, rest = tat + 1, rest - amount end
  after[i] = {tat - now, rest}
  if tat - now > per or (tat - now == per and rest > 0) then allowed = 0 end
end

if allowed == 1 and ARGV[1] == '1' then
  local words, free = {}, now
  for i = 1, count do
    local tat, rest = now + after[i][1], after[i][2]
    stored[ARGV[4 * i - 1]] = {ARGV[4 * i], tat, rest}
  end
  for per, known in pairs(stored) do
    if known[2] >= now then
      words[#words + 1] = string.format('%s:%s:%.0f:%.0f', per, known[1], known[2], known[3])
      free = math.max(free, known[2] + 1)
    end
  end
  redis.call('SET', KEYS[1], table.concat(words, ' '), 'PXAT', string.format('%.0f', math.ceil(free / 1000)))
  before = after
end

local reply = {allowed}
for i = 1, count do
  reply[2 * i] = before[i][1]
  reply[2 * i + 1] = before[i][2]
end
return reply
