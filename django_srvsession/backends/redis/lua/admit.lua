-- Counts a session among its user's, and says which are to end so that no more than the limit stay.
--
-- KEYS: the user's index.
-- Behind the named arguments follow the live sids, unseen for longest first, each with '1' if it signed in so long ago
-- that it counts without a mark; then the sids that were found dead.
-- Replies 'ok', the time, and the sids to end; or 'limit'.
--
-- Marks beside the sids say what the sessions, on other keys, cannot say in time: one that is admitted may not be stored
-- yet; one that is condemned was handed to somebody to end, and still works and is listed until then. Either mark is
-- forgotten when the session does not follow, so that a login that died refuses nobody for long.
local index = KEYS[1]
local me, limit, policy, live_count = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])

-- include clock.lua

redis.call('ZREMRANGEBYSCORE', index, ADMITTED_FROM, ADMITTED_FROM + now - DAY_MS)
redis.call('ZREMRANGEBYSCORE', index, CONDEMNED_FROM, CONDEMNED_FROM + now - MARGIN_MS)
local admitted, condemned, order = {}, {}, {}
local marks = redis.call('ZRANGEBYSCORE', index, ADMITTED_FROM, '+inf', 'WITHSCORES')
for i = 1, #marks, 2 do
  local mark, sid = string.sub(marks[i], 1, #ADMITTED_MARK), string.sub(marks[i], #ADMITTED_MARK + 1)
  if mark == CONDEMNED_MARK then condemned[sid] = true
  else admitted[sid] = marks[i + 1] - ADMITTED_FROM; order[#order + 1] = sid end
end
if admitted[me] then return {'ok', now, {}} end

local others, known, is_live = {}, {}, {}
local first_dead = 5 + 2 * live_count
for i = 5, first_dead - 1, 2 do
  local sid, is_old = ARGV[i], ARGV[i + 1] == '1'
  known[sid], is_live[sid] = true, true
  if sid == me and is_old then return {'ok', now, {}} end
  local counts = policy ~= 'refuse' or is_old or admitted[sid]
  if sid ~= me and counts and not condemned[sid] and redis.call('ZSCORE', index, sid) then
    others[#others + 1] = sid
  end
end
for i = first_dead, #ARGV do known[ARGV[i]] = true end
-- Who was ended before it was admitted, by a login that was faster, takes nobody's place.
if known[me] and not (is_live[me] and redis.call('ZSCORE', index, me)) then return {'ok', now, {}} end
for _, sid in ipairs(order) do
  if not known[sid] and not condemned[sid] and now - admitted[sid] < MARGIN_MS then others[#others + 1] = sid end
end

local ending = {}
if policy == 'refuse' then
  if #others >= limit then return {'limit', now} end
else
  local excess = #others + (condemned[me] and 0 or 1) - limit
  for i = 1, math.min(excess, #others) do
    ending[i] = others[i]
    redis.call('ZADD', index, CONDEMNED_FROM + now, CONDEMNED_MARK .. others[i])
  end
end
redis.call('ZADD', index, ADMITTED_FROM + now, ADMITTED_MARK .. me)
-- include lapse.lua
return {'ok', now, ending}
