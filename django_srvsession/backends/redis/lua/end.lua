-- Ends a session: a tombstone takes its place, and the lists that are named lose it.
--
-- KEYS: the session; on one server the lists of everybody's that may have it, and last, if a user is named, that user's
-- index. A cluster is told of those afterwards.
-- Behind the named arguments follow the lists: what is expected (name, bytes), what is to be absent (name).
-- Without a reason it ends what has expired, for the reason that its record tells; else what lives.
-- A version, '' if none, is what the session must have.
-- Replies a status and the time: 'ok', with the record; 'refused', 'conflict', 'corrupt', or what the session is.
local key = KEYS[1]
local sid, keep_ms, reason, by, verifier, index_of, version, expected_count, absent_count = unpack(ARGV, 1, 9)

-- include clock.lua
-- include session.lua

if state ~= (reason == '' and 'expired' or 'live') then return {state, now} end
if version ~= '' and tonumber(version) ~= n then return {'refused', now} end
if verifier ~= '' and not accepts(given(verifier)) then return {'refused', now} end
if expected_count ~= '0' or absent_count ~= '0' then
  -- include values.lua
  if not add(redis.call('GET', key), texts_end + 1, used) then return {'corrupt', now} end
  if #conflicts(10, expected_count, absent_count) > 0 then return {'conflict', now} end
end

if reason == '' then reason = d ~= NEVER and e >= d and 'expired_lifetime' or 'expired_idle' end
local u, by_whom = user(), given(by)
local head = struct.pack(
  ENDED, TOMBSTONE, v, now, #former, #reason, by_whom and #by_whom or ABSENT, u and #u or ABSENT
)
redis.call('PERSIST', key) -- After this, a server whose memory is full does what else the script asks.
redis.call('SET', key, head .. former .. reason .. (by_whom or '') .. (u or ''), 'PXAT', now + keep_ms)

-- What is done is done: a list that is none of ours stops nobody. Readers skip what is left in one.
local lists = #KEYS - (index_of ~= '' and 1 or 0)
for i = 2, lists do redis.pcall('ZREM', KEYS[i], sid) end
if index_of ~= '' and u == given(index_of) then
  redis.pcall('ZREM', KEYS[#KEYS], sid, ADMITTED_MARK .. sid, CONDEMNED_MARK .. sid)
end
-- include tell.lua
return {'ok', now, record}
