-- Verify everything, then write everything. Behind refusing.lua and taking.lua.
--
-- KEYS  every key that is read or written; those that must be absent come first
-- ARGV  count of keys that must be absent
--       count of typed keys, then for each: key, the type it must have, if it is there
--       count of rows,   then for each: count of fields, HMGET, key, fields …, their texts, each after '=', or '-' for none
--       count of reads,  then for each: count of words, words …, the reply it must have
--       count of tables, then for each: count of fields, fields …, place of its first key, count of rows, their deadline or an empty word,
--           count of held fields, these …, count of those of them that must be there, their texts row by row …,
--           place of the field by which its rows stand in indexes,
--           count of indexes, then for each: how, place of a field, count of words, words …; values row by row …
--       count of writes, then for each: count of words, words …
--
-- A table is rows of the same fields under consecutive keys: one HSET each. Those with held fields must be there and have these so, the others are
-- new. They enter an index 'all' under its key at their deadline, by 'score' at the value of the field, or by 'value' at their deadline
-- under the key that comes behind that value.
-- Returns the replies of the writes, or false where something is not as expected and nothing was written.

local ask = redis.pcall

local function spelled(reply)
  if type(reply) == 'number' then return string.format(':%.0f', reply) end
  if type(reply) == 'string' then return '$' .. #reply .. ':' .. reply end
  if type(reply) ~= 'table' then return '_' end
  if reply.err then return '-' .. reply.err end
  if reply.ok then return '$' .. #reply.ok .. ':' .. reply.ok end
  local parts = {}
  for i = 1, #reply do parts[i] = spelled(reply[i]) end
  return '*' .. #reply .. table.concat(parts)
end

local absent = number()
for first = 1, absent, 5000 do
  if call('EXISTS', unpack(KEYS, first, math.min(first + 4999, absent))) > 0 then return false end
end
for _ = 1, number() do
  local first, last = take(2)
  local kind = call('TYPE', ARGV[first]).ok
  if kind ~= 'none' and kind ~= ARGV[last] then return false end
end
for _ = 1, number() do
  local fields = number()
  local first, last = take(fields + 2)
  local reply = ask(unpack(ARGV, first, last))
  if reply.err then return false end
  for i = 1, fields do
    local text = reply[i]
    if (text and '=' .. text or '-') ~= ARGV[last + i] then return false end
  end
  take(fields)
end
for _ = 1, number() do
  local first, last = take(number())
  local reply = ask(unpack(ARGV, first, last))
  if ARGV[first] == 'XPENDING' and not reply.err then
    -- which entry and whose, without the time it has been idle
    for i, entry in ipairs(reply) do reply[i] = {entry[1], entry[2]} end
  end
  if spelled(reply) ~= ARGV[at] then return false end
  at = at + 1
end

-- What a user may do with these, if they have many words, hangs on the first few.
local one_key = {ZADD = true, ZREM = true, SADD = true, SREM = true, HSET = true, HDEL = true, RPUSH = true}

local function table_of_rows()
  local rows = {fields = number()}
  rows.names = take(rows.fields)
  rows.key, rows.count = number(), number()
  rows.deadline = ARGV[take(1)]
  if rows.deadline == '' then rows.deadline = nil end
  rows.held = number()
  rows.first, rows.last = take(rows.held)
  rows.present = number()
  rows.texts = take(rows.present * rows.count)
  rows.member = number()
  rows.indexes = {}
  for i = 1, number() do
    local index = {how = ARGV[at], place = tonumber(ARGV[at + 1])}
    take(2)
    index.first, index.last = take(number())
    rows.indexes[i] = index
  end
  rows.values = take(rows.fields * rows.count)
  return rows
end
local function is_as_held(held)
  local key, rows, text, present, size, first, last =
    held.key, held.count, held.texts, held.present, held.held, held.first, held.last
  for start = key, key + rows - 1, 5000 do
    local stop = math.min(start + 4999, key + rows - 1)
    if call('EXISTS', unpack(KEYS, start, stop)) <= stop - start then return false end
  end
  for row = key, key + rows - 1 do
    local reply = ask('HMGET', KEYS[row], unpack(ARGV, first, last))
    if reply.err then return false end
    for i = 1, present do
      if reply[i] ~= ARGV[text] then return false end
      text = text + 1
    end
    for i = present + 1, size do
      if reply[i] then return false end
    end
  end
  return true
end

local start = at
for _ = 1, number() do
  local rows = table_of_rows()
  if rows.held > 0 and not is_as_held(rows) then return false end
  for row = rows.key, rows.key + rows.count - 1 do
    local refused = rows.fields > 0 and refusal('HSET', KEYS[row], '', '') or rows.deadline and refusal('PEXPIREAT', KEYS[row], '0')
    if refused then return refused end
  end
  for _, index in ipairs(rows.indexes) do
    local value = index.how == 'value'
    for i = value and index.first + 1 or index.first, index.last, value and 2 or 1 do
      local refused = refusal('ZADD', ARGV[i], '0', '')
      if refused then return refused end
    end
  end
end
for _ = 1, number() do
  local first, last = take(number())
  if one_key[ARGV[first]] then last = math.min(last, first + 3) end
  local refused = refusal(unpack(ARGV, first, last))
  if refused then return refused end
end

local function add(entries)
  if entries.size > 0 then call('ZADD', entries.key, unpack(entries, 1, entries.size)) end
  entries.size = 0
end
local function enter(index, rows)
  local how, place, under, one = index.how, index.place, {}, nil
  local fields, member, deadline, first = rows.fields, rows.member, rows.deadline or 'inf', rows.values - 1
  if how == 'value' then
    for i = index.first, index.last, 2 do under[ARGV[i]] = {key = ARGV[i + 1], size = 0} end
  else
    one = {key = ARGV[index.first], size = 0}
  end
  for value = first, first + (rows.count - 1) * fields, fields do
    local text = place > 0 and ARGV[value + place]
    local entries = one or under[text]
    local size = entries.size
    entries[size + 1] = how == 'score' and text or deadline
    entries[size + 2] = ARGV[value + member]
    entries.size = size + 2
    if size == 6000 then add(entries) end
  end
  if one then return add(one) end
  for i = index.first, index.last, 2 do add(under[ARGV[i]]) end
end

-- A call with its words written out takes a quarter less time than one that unpacks a table of them, once it is made for the count of fields.
local most_written_out, fewest_rows = 60, 20
local function store(rows)
  local fields, names, key, count, values = rows.fields, rows.names, rows.key, rows.count, rows.values
  if fields == 0 then return end
  if fields <= most_written_out and count >= fewest_rows then
    local words = {}
    for i = 1, fields do words[i] = string.format('ARGV[names + %d], ARGV[value + %d]', i - 1, i - 1) end
    local loop = "for row = key, last do call('HSET', KEYS[row], " .. table.concat(words, ', ') .. ') value = value + fields end'
    return loadstring('local ARGV, KEYS, call, names, fields, key, last, value = ... ' .. loop)(
      ARGV, KEYS, call, names, fields, key, key + count - 1, values)
  end
  local words = {}
  for i = 1, fields do words[2 * i] = ARGV[names + i - 1] end
  for row = key, key + count - 1 do
    words[1] = KEYS[row]
    for i = 1, fields do words[2 * i + 1] = ARGV[values + (row - key) * fields + i - 1] end
    call('HSET', unpack(words, 1, 2 * fields + 1))
  end
end

at = start
for _ = 1, number() do
  local rows = table_of_rows()
  store(rows)
  if rows.deadline then
    for row = rows.key, rows.key + rows.count - 1 do call('PEXPIREAT', KEYS[row], rows.deadline) end
  end
  for _, index in ipairs(rows.indexes) do enter(index, rows) end
end
local replies = {}
for i = 1, number() do
  local first, last = take(number())
  replies[i] = call(unpack(ARGV, first, last))
end
return replies
