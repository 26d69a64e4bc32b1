-- Changes whatever a delta names of a session, and its key: the rule is records.updated, and records.rotated.
--
-- KEYS: the session.
-- Behind the named arguments follow the lists: what is expected (name, bytes), what is to be absent (name), what is
-- sealed anew (name, old bytes, new bytes), what is removed (name).
-- Replies a status and the time: 'ok', with all that is stored if the caller knows no version, or if the session has
-- the new key already ('again'); with the record if it is of another version. 'conflict', with what stands under the
-- names. 'unindexed', with what is wanted, if the session would live longer than its user's index is known to hold it.
-- 'refused', 'corrupt', or what the session is if it does not live. Nothing is written before the last check.
local key = KEYS[1]
local keep_ms, verifier, new_verifier, is_final, listed_until_ms, new_user, lifetime_ms, deadline_ms, new_ip, new_agent,
  new_details, extend, cleared, known_version, changed, resealed_count, expected_count, absent_count = unpack(ARGV, 1, 18)

-- include clock.lua
-- include session.lua
-- include values.lua
-- include runs.lua

if state ~= 'live' then return {state, now} end
local rotated_to, signs_in = given(new_verifier), given(new_user)
if rotated_to and v == rotated_to then return {'ok', now, redis.call('GET', key), 'again'} end
if rotated_to and v ~= verifier or not accepts(verifier) then return {'refused', now} end
local u = user()
if signs_in and u and u ~= signs_in then return {'refused', now} end
if not add(redis.call('GET', key), texts_end + 1, used) then return {'corrupt', now} end
local differing, at = conflicts(19, expected_count, absent_count)
if #differing > 0 then return {'conflict', now, differing} end

t = tonumber(lifetime_ms) or t
if deadline_ms ~= '' then d = tonumber(given(deadline_ms)) or NEVER end
e = math.min(extend == '1' and now + t or e, d, LATEST_MS)
-- The user's index holds the session until g, and must before the session lives longer.
if u or signs_in then g = math.max(u and g or 0, tonumber(listed_until_ms)) else g = NEVER end
if e > g then return {'unindexed', now, e, t, signs_in or u} end

if cleared == '1' then values, names = {}, {} end
for _ = 1, resealed_count do
  if values[ARGV[at]] == ARGV[at + 1] then values[ARGV[at]] = ARGV[at + 2] end
  at = at + 3
end
for i = at, #ARGV do values[ARGV[i]] = nil end
add(changed, 1, #changed)
if rotated_to then
  former, v, rotation = v, rotated_to, is_final == '1' and FINAL or RENEWED
  r = math.max(now, not signs_in and s ~= NEVER and s + 1 or 0)
end
if signs_in then s = now end

local ip_at = texts_at + (u and #u or 0) + 1
local agent_at, details_at = ip_at + ip_length, ip_at + ip_length + agent_length
local ip = given(new_ip) or string.sub(record, ip_at, agent_at - 1)
local agent = given(new_agent) or string.sub(record, agent_at, details_at - 1)
local details = given(new_details) or string.sub(record, details_at, texts_end)
u = signs_in or u
local rotated = rotation ~= 0 and struct.pack(ROTATION, former, r) or ''
local texts, values_run = rotated .. (u or '') .. ip .. agent .. details, run()
texts_end = HEAD_BYTES + #texts
used = texts_end + #values_run
local head = struct.pack(
  HEAD, SESSION, v, n + 1, math.max(now, l), e, used, t, d, g, c, s, rotation, u and #u or ABSENT, #ip, #agent, #details
)
local image = head .. texts .. values_run .. room(used)
redis.call('SET', key, image, 'PXAT', math.max(e, now) + keep_ms)
if known_version == '' then return {'ok', now, image} end
if tonumber(known_version) ~= n then return {'ok', now, string.sub(image, 1, texts_end)} end
return {'ok', now}
