-- Part of other scripts. Reads values out of runs, as store/framing.py makes them.
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

-- What stands under each name whose expected bytes do not: of the arguments from a place on, so many names with bytes,
-- then so many to be absent. Returns where the arguments go on, too.
local function conflicts(at, present, absent)
  local found = {}
  local function check(name, expected)
    local stands = values[name] or false
    if stands ~= expected then found[#found + 1] = name; found[#found + 1] = stands end
  end
  for _ = 1, present do check(ARGV[at], ARGV[at + 1]); at = at + 2 end
  for _ = 1, absent do check(ARGV[at], false); at = at + 1 end
  return found, at
end
