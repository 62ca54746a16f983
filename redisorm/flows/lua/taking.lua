-- Take the arguments one after the other: a number, or so many words, which are named by the places of the first and the last.

local ARGV, KEYS, call, tonumber, unpack = ARGV, KEYS, redis.call, tonumber, unpack

local at = 1
local function number()
  at = at + 1
  return tonumber(ARGV[at - 1])
end
local function take(size)
  at = at + size
  return at - size, at - 1
end
