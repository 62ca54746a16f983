-- Verify what one row and the commands beside it rely on, and then write all of it.
-- Behind refusing.lua, taking.lua and the body of row.lua as the function `write`.
--
-- KEYS  those of row.lua, and then every key of the commands
-- ARGV  count of keys of row.lua, or 0 where there is no row; count of its arguments, and these
--       count of typed keys, then for each: key, the type it must have, if it is there
--       the entry that must be pending: stream, group, consumer and id; or four empty words
--       count of commands, then for each: count of words, words …
--
-- Returns 1, or false where something is not as expected and nothing was written.

local keys, words = number(), number()
local row, last = take(words)
for _ = 1, number() do
  local key, kind = take(2)
  local found = call('TYPE', ARGV[key]).ok
  if found ~= 'none' and found ~= ARGV[kind] then return false end
end
local stream, id = take(4)
if ARGV[id] ~= '' then
  local held = redis.pcall('XPENDING', ARGV[stream], ARGV[stream + 1], ARGV[id], ARGV[id], 1)
  if held.err or not held[1] or held[1][2] ~= ARGV[stream + 2] then return false end
end

local refused = keys > 0 and refusal('HSET', KEYS[1], '', '')
local riders = at
for _ = 1, number() do
  local first, final = take(number())
  refused = refused or refusal(unpack(ARGV, first, final))
end
if refused then return refused end

if keys > 0 then
  local written = write({unpack(KEYS, 1, keys)}, {unpack(ARGV, row, last)})
  if not written or type(written) == 'table' then return written end
end
at = riders
for _ = 1, number() do
  local first, final = take(number())
  call(unpack(ARGV, first, final))
end
return 1
