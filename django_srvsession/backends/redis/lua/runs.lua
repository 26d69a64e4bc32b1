-- Part of other scripts, after values.lua. Writes the values as one run.

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
