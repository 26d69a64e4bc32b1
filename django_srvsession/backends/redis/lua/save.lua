-- Writes values into a session, and starts its lifetime anew: nearly every save is this, in few words, for a script costs
-- Redis ten times what its commands cost.
--
-- KEYS: the session.
-- Replies the time, with the record if it is of another version than the caller knows; or 0, having done nothing, where
-- only write.lua knows the rules.
local key = KEYS[1]
local verifier, known_version, keep_ms, changed = unpack(ARGV) -- changed: a run of values, or ''

-- include clock.lua

local head = redis.call('GETRANGE', key, 0, HEAD_BYTES - 1)
if #head < HEAD_BYTES then return 0 end
local kind, v, n, l, e, used, t, d, g = struct.unpack(GUARD, head)
local free = redis.call('STRLEN', key) - used
local expires = math.min(now + t, d, LATEST_MS)
local rotation, u_length, ip_length, agent_length, details_length = struct.unpack(LENGTHS, head, LENGTHS_FROM + 1)
local texts_end = HEAD_BYTES + (rotation ~= 0 and ROTATION_BYTES or 0)
  + (u_length == ABSENT and 0 or u_length) + ip_length + agent_length + details_length
if kind ~= SESSION or free < 0 or used <= texts_end or v ~= verifier then return 0 end
if now >= e or expires < now or expires > g then return 0 end
local seen = math.max(now, l)
if #changed <= free then
  if changed ~= '' then redis.call('SETRANGE', key, used, changed) end
  redis.call('SETRANGE', key, MOVED_FROM, struct.pack(MOVED, n + 1, seen, expires, used + #changed))
else
  -- include values.lua
  -- include runs.lua
  local image = redis.call('GET', key)
  if not add(image, texts_end + 1, used) then return 0 end
  add(changed, 1, #changed)
  local values_run = run()
  used = texts_end + #values_run
  local moved = struct.pack(MOVED, n + 1, seen, expires, used)
  local start = string.sub(image, 1, MOVED_FROM) .. moved .. string.sub(image, MOVED_TO + 1, texts_end)
  redis.call('SET', key, start .. values_run .. room(used), 'KEEPTTL')
end
if math.floor(expires / TTL_STEP_MS) ~= math.floor(e / TTL_STEP_MS) then
  redis.call('PEXPIREAT', key, expires + keep_ms)
end
if n ~= tonumber(known_version) then return {'ok', now, redis.call('GETRANGE', key, 0, texts_end - 1)} end
return now
