-- Write one row that is its hash alone, if it is what the commit takes it for.
--
-- KEYS  the row
-- ARGV  the field of its primary key and the text there, where the row must be there and have no life of its own;
--       two empty words where it must be absent
--       field, text, field, text, …
--
-- Returns how many fields are new, or false where the row is otherwise and nothing was written.

local row, pk = KEYS[1], ARGV[1]
if pk == '' then
  if redis.call('EXISTS', row) == 1 then return false end
else
  local held = redis.pcall('HMGET', row, pk, ':ttl')
  if held.err or held[1] ~= ARGV[2] or held[2] then return false end
end
return redis.call('HSET', row, unpack(ARGV, 3))
