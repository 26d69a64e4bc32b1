-- Part of other scripts, after clock.lua. Reads the record of the session at key, and says what is so of it: whether it
-- lives, which key opens it, who is signed in.
local state = 'live'
local kind, v, n, l, e, used, t, d, g, c, s, rotation, u_length, ip_length, agent_length, details_length
local former, r, texts_at, texts_end = '', 0, 0, 0
local record = redis.call('GETRANGE', key, 0, RECORD_BYTES - 1)
if record == '' and redis.call('EXISTS', key) == 0 then state = 'absent'
elseif string.byte(record) == TOMBSTONE then state = 'ended'
elseif string.byte(record) ~= SESSION or #record < HEAD_BYTES then state = 'corrupt'
else
  kind, v, n, l, e, used, t, d, g, c, s, rotation, u_length, ip_length, agent_length, details_length =
    struct.unpack(HEAD, record)
  texts_at = HEAD_BYTES + (rotation ~= 0 and ROTATION_BYTES or 0)
  texts_end = texts_at + (u_length == ABSENT and 0 or u_length) + ip_length + agent_length + details_length
  if texts_end > #record then record = redis.call('GETRANGE', key, 0, texts_end - 1) end
  if #record < texts_end then state = 'corrupt'
  elseif now >= e then state = 'expired' end
  if rotation ~= 0 and state ~= 'corrupt' then former, r = struct.unpack(ROTATION, record, HEAD_BYTES + 1) end
  record = string.sub(record, 1, texts_end)
end

local function accepts(verifier)
  return verifier == v or rotation == RENEWED and verifier == former and now - r < GRACE_MS
end

-- What an argument gives that is '' for nothing, and else begins with '='.
local function given(argument)
  return argument ~= '' and string.sub(argument, 2)
end

local function user()
  return u_length ~= ABSENT and string.sub(record, texts_at + 1, texts_at + u_length)
end
