-- Part of other scripts. Values in runs, as store/framing.py makes them.
local values, names = {}, {}

-- Notes the values of the runs from a place to the last; tells whether they are sound.
local function add(bytes, at, last)
  if #bytes < last or last < at then return false end
  while at <= last do
    local width = string.byte(bytes, at)
    if width ~= SHORT and width ~= LONG or last < at + 2 * width then return false end
    local number = '<I' .. width
    local part_length, count = struct.unpack(number .. 'I' .. width, bytes, at + 1)
    local lengths_at = at + 1 + width + part_length
    local name_at, place = at + 1 + width * (2 + count), lengths_at + width * count
    if lengths_at < name_at or last < place - 1 then return false end
    local mine = {}
    for i = 1, count do
      local name_end = name_at + struct.unpack(number, bytes, at + 1 + width * (1 + i))
      local value_end = place + struct.unpack(number, bytes, lengths_at + width * (i - 1))
      local name = string.sub(bytes, name_at, name_end - 1)
      if mine[name] then return false end
      mine[name] = true
      if not values[name] then names[#names + 1] = name end
      values[name] = string.sub(bytes, place, value_end - 1)
      name_at, place = name_end, value_end
    end
    if name_at ~= lengths_at or last < place - 1 then return false end
    at = place
  end
  return true
end

-- Makes one run of all values that are noted.
local function run()
  local name_lengths, written, lengths, bodies = {}, {}, {}, {}
  local longest = 0
  for _, name in ipairs(names) do
    local value = values[name]
    if value then
      local i = #written + 1
      name_lengths[i], written[i], lengths[i], bodies[i] = #name, name, #value, value
      longest = math.max(longest, #value)
      values[name] = nil -- What was removed and written again is named twice.
    end
  end
  local count, all_names = #written, table.concat(written)
  local width = math.max(longest, 2 * (1 + count) + #all_names) < SHORT_BELOW and SHORT or LONG
  local number = '<I' .. width
  for i = 1, count do
    name_lengths[i], lengths[i] = struct.pack(number, name_lengths[i]), struct.pack(number, lengths[i])
  end
  local part = struct.pack(number, count) .. table.concat(name_lengths) .. all_names
  return string.char(width) .. struct.pack(number, #part) .. part .. table.concat(lengths) .. table.concat(bodies)
end

-- Makes the room that follows what is in use: what Redis' memory for the string has left, and so much at least.
local function room(used)
  local size = used + LEAST_ROOM_BYTES + OVERHEAD_BYTES
  local _, exponent = math.frexp(size - 1)
  return string.rep('\0', LEAST_ROOM_BYTES + -size % 2 ^ math.max(exponent - 3, 4))
end
