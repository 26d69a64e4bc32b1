"""The Lua scripts of the Redis store: every step that must be atomic, each on one key; ``CREATE`` is for one server.

``_READ`` and ``_RULES`` hold each rule once: what is live, whose verifier is accepted, what is left of an ended
session; only ``_SAVE`` says in its own, fewer words what nearly every save asks. A script's reply is ``{status, now_ms,
...}``; ``now_ms`` is Redis' own clock, the only one that decides. ``image.py`` describes what a session's key holds.

A script writes nothing before its last check has passed, so a refusal leaves the session as it was.
"""

from __future__ import annotations

import hashlib
from typing import Final

from django_srvsession.backends.redis.format import (
    ABSENT,
    HEAD_BYTES,
    LENGTHS_FROM,
    LUA_GUARD,
    LUA_HEAD,
    LUA_MOVED,
    LUA_TOMBSTONE,
    MOVED_FROM,
    MOVED_TO,
    NEVER,
    ROOM_BYTES,
    ROOM_SHARE,
    SESSION,
    TOMBSTONE,
)
from django_srvsession.records import LATEST_MS, ROTATION_GRACE_MS
from django_srvsession.store.framing import VERSION

MARGIN_MS: Final = 60_000
"""How far a client's idea of Redis' clock, and the two steps of a login, may be apart; milliseconds."""

TTL_STEP_MS: Final = 60_000
"""A save that moves the expiry within such a step leaves the key's TTL, which is later by a step at least."""

ADMITTED_FROM: Final = 4_000_000_000_000_000
CONDEMNED_FROM: Final = 6_000_000_000_000_000
"""Scores of the marks in a user's index: above every expiry, below 2**53; what exceeds them is when (ms) it was set."""

_CLOCK: Final = """
local key, time = KEYS[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_VALUES: Final = f"""
-- Values in runs, as backends/framing.py makes them: add() notes those from a place to the last, and tells whether they
-- are sound; run() makes one run of all that are noted; room() is what follows what is in use.
local values, names = {{}}, {{}}
local function add(bytes, at, last)
  if #bytes < last or last < at then return false end
  while at <= last do
    if last < at + 8 then return false end
    local version, part_length, count = struct.unpack('<BI4I4', bytes, at)
    local name_at, lengths_at = at + 9 + 4 * count, at + 5 + part_length
    local place = lengths_at + 4 * count
    if version ~= {VERSION} or lengths_at < name_at or last < place - 1 then return false end
    local mine = {{}}
    for i = 1, count do
      local name_end = name_at + struct.unpack('<I4', bytes, at + 5 + 4 * i)
      local value_end = place + struct.unpack('<I4', bytes, lengths_at + 4 * i - 4)
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

local function run()
  local name_lengths, written, lengths, bodies = {{}}, {{}}, {{}}, {{}}
  for _, name in ipairs(names) do
    local value = values[name]
    if value then
      local i = #written + 1
      name_lengths[i], written[i] = struct.pack('<I4', #name), name
      lengths[i], bodies[i] = struct.pack('<I4', #value), value
      values[name] = nil -- What was removed and written again is named twice.
    end
  end
  local part = struct.pack('<I4', #written) .. table.concat(name_lengths) .. table.concat(written)
  return struct.pack('<BI4', {VERSION}, #part) .. part .. table.concat(lengths) .. table.concat(bodies)
end

local function room(used)
  return string.rep('\\0', math.max({ROOM_BYTES}, math.floor(used / {ROOM_SHARE})))
end
"""

_READ: Final = f"""
local NEVER, ABSENT = {NEVER}, {ABSENT}
local image, state, texts_end = redis.call('GET', key)
local kind, v, n, l, e, used, t, d, g, c, s, r, p, final, u_length, ip_length, agent_length
if not image then state = 'absent'
elseif string.byte(image) == {TOMBSTONE} then state = 'ended'
elseif string.byte(image) ~= {SESSION} or #image < {HEAD_BYTES} then state = 'corrupt'
else
  kind, v, n, l, e, used, t, d, g, c, s, r, p, final, u_length, ip_length, agent_length =
    struct.unpack('{LUA_HEAD}', image)
  texts_end = {HEAD_BYTES} + (u_length == ABSENT and 0 or u_length) + ip_length + agent_length
  state = #image < texts_end and 'corrupt' or now >= e and 'expired' or 'live'
end
"""

_RULES: Final = f"""
local function accepts(verifier)
  return verifier == v or final == 0 and verifier == p and now - r < {ROTATION_GRACE_MS}
end

local function given(argument)
  return argument ~= '' and string.sub(argument, 2)
end

local function record()
  return string.sub(image, 1, texts_end)
end

local function user()
  return u_length ~= ABSENT and string.sub(image, {HEAD_BYTES + 1}, {HEAD_BYTES} + u_length)
end

-- What stands under each name whose expected bytes do not, and where the arguments go on:
-- ARGV[at] names with bytes, ARGV[at + 1] names to be absent; they follow from ARGV[i] on.
local function conflicts(at, i)
  local found = {{}}
  local function check(name, expected)
    local stands = values[name] or false
    if stands ~= expected then found[#found + 1] = name; found[#found + 1] = stands end
  end
  for _ = 1, tonumber(ARGV[at]) do check(ARGV[i], ARGV[i + 1]); i = i + 2 end
  for _ = 1, tonumber(ARGV[at + 1]) do check(ARGV[i], false); i = i + 1 end
  return found, i
end

local function bury(keep_ms, reason, by)
  local u = user()
  local texts = reason .. (by or '') .. (u or '')
  local head = struct.pack('{LUA_TOMBSTONE}', {TOMBSTONE}, v, p, now, #reason, by and #by or ABSENT, u_length)
  redis.call('PERSIST', key) -- After this, a server whose memory is full does what else the script asks.
  redis.call('SET', key, head .. texts, 'PXAT', now + keep_ms)
  return {{'ok', now, record()}}
end
"""

_CREATE: Final = """
-- KEYS are a session, the shard that lists it and, if it has a user, that user's index. sid, the session, when its key
-- goes, its place in the shard; until when the index holds it, up to when what is in there is past. An error ends the
-- script, so what could not be listed is not stored. A full server refuses the first command, and none after it.
local key, shard, index, sid = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
redis.call('ZADD', shard, 'GT', ARGV[4], sid)
if index then
  redis.call('ZREMRANGEBYSCORE', index, '-inf', ARGV[6])
  redis.call('ZADD', index, 'GT', ARGV[5], sid)
end
return redis.call('SET', key, ARGV[2], 'NX', 'PXAT', ARGV[3])
"""

_WRITE: Final = f"""
-- keep_ms, verifier, =new verifier, final, indexed until, =user, lifetime, =deadline, =ip, =agent, extend, cleared,
-- version that the caller knows, a run of values to write; then numbers of: resealed, removed, expected, expected to be
-- absent; then the lists: expected (name, bytes), absent (name), resealed (name, old, new), removed (name)
if state ~= 'live' then return {{state, now}} end
local rotated_to, signs_in = given(ARGV[3]), given(ARGV[6])
if rotated_to and v == rotated_to then return {{'ok', now, image, 'again'}} end
if rotated_to and v ~= ARGV[2] or not accepts(ARGV[2]) then return {{'refused', now}} end
local u = user()
if signs_in and u and u ~= signs_in then return {{'refused', now}} end
if not add(image, texts_end + 1, used) then return {{'corrupt', now}} end
local differing, at = conflicts(17, 19)
if #differing > 0 then return {{'conflict', now, differing}} end

t = tonumber(ARGV[7]) or t
if ARGV[8] ~= '' then d = tonumber(given(ARGV[8])) or NEVER end
e = math.min(ARGV[11] == '1' and now + t or e, d, {LATEST_MS})
-- The user's index holds the session until g, and must before the session lives longer.
if u or signs_in then g = math.max(u and g or 0, tonumber(ARGV[5])) else g = NEVER end
if e > g then return {{'unindexed', now, e, t, signs_in or u}} end

if ARGV[12] == '1' then values, names = {{}}, {{}} end
for _ = 1, ARGV[15] do
  if values[ARGV[at]] == ARGV[at + 1] then values[ARGV[at]] = ARGV[at + 2] end
  at = at + 3
end
for i = at, #ARGV do values[ARGV[i]] = nil end
add(ARGV[14], 1, #ARGV[14])
if rotated_to then
  p, v, final = v, rotated_to, tonumber(ARGV[4])
  r = math.max(now, not signs_in and s ~= NEVER and s + 1 or 0)
end
if signs_in then u, s = signs_in, now end
local ip_from = texts_end - agent_length - ip_length + 1
local ip = given(ARGV[9]) or string.sub(image, ip_from, ip_from + ip_length - 1)
local agent = given(ARGV[10]) or string.sub(image, ip_from + ip_length, texts_end)
local texts, values_run = (u or '') .. ip .. agent, run()
u_length, ip_length, agent_length = u and #u or ABSENT, #ip, #agent
texts_end = {HEAD_BYTES} + #texts
used = texts_end + #values_run
image = struct.pack(
  '{LUA_HEAD}', {SESSION}, v, n + 1, math.max(now, l), e, used, t, d, g,
  c, s, r, p, final, u_length, ip_length, agent_length
) .. texts .. values_run .. room(used)
redis.call('SET', key, image, 'PXAT', math.max(e, now) + ARGV[1])
if ARGV[13] == '' then return {{'ok', now, image}} end
if tonumber(ARGV[13]) ~= n then return {{'ok', now, record()}} end
return {{'ok', now}}
"""

# What nearly every save asks, in few words: a script costs Redis ten times what its commands cost.
_SAVE: Final = f"""
-- verifier, version that the caller knows, keep_ms, a run of values to write, or nothing; that is all it does. Replies
-- the time, with the record if it is of another version; or 0, having done nothing, where only WRITE knows the rules.
local head = redis.call('GETRANGE', key, 0, {HEAD_BYTES - 1})
if #head < {HEAD_BYTES} then return 0 end
local kind, v, n, l, e, used, t, d, g = struct.unpack('{LUA_GUARD}', head)
local free = redis.call('STRLEN', key) - used
local expires = math.min(now + t, d, {LATEST_MS})
local u_length, ip_length, agent_length = struct.unpack('<I4I4I4', head, {LENGTHS_FROM + 1})
local texts_end = {HEAD_BYTES} + (u_length == {ABSENT} and 0 or u_length) + ip_length + agent_length
if kind ~= {SESSION} or free < 0 or used <= texts_end or v ~= ARGV[1] then return 0 end
if now >= e or expires < now or expires > g then return 0 end
local seen = math.max(now, l)
if #ARGV[4] <= free then
  if ARGV[4] ~= '' then redis.call('SETRANGE', key, used, ARGV[4]) end
  redis.call('SETRANGE', key, {MOVED_FROM}, struct.pack('{LUA_MOVED}', n + 1, seen, expires, used + #ARGV[4]))
else
  {_VALUES}
  local image = redis.call('GET', key)
  if not add(image, texts_end + 1, used) then return 0 end
  add(ARGV[4], 1, #ARGV[4])
  local values_run = run()
  used = texts_end + #values_run
  local moved = struct.pack('{LUA_MOVED}', n + 1, seen, expires, used)
  local start = string.sub(image, 1, {MOVED_FROM}) .. moved .. string.sub(image, {MOVED_TO + 1}, texts_end)
  redis.call('SET', key, start .. values_run .. room(used), 'KEEPTTL')
end
if math.floor(expires / {TTL_STEP_MS}) ~= math.floor(e / {TTL_STEP_MS}) then
  redis.call('PEXPIREAT', key, expires + ARGV[3])
end
if n ~= tonumber(ARGV[2]) then return {{'ok', now, redis.call('GETRANGE', key, 0, texts_end - 1)}} end
return now
"""

_END: Final = """
-- keep_ms, reason, =by, =verifier, then the numbers and lists of what is expected
if state ~= 'live' then return {state, now} end
local verifier = given(ARGV[4])
if verifier and not accepts(verifier) then return {'refused', now} end
if ARGV[5] ~= '0' or ARGV[6] ~= '0' then
  if not add(image, texts_end + 1, used) then return {'corrupt', now} end
  if #conflicts(5, 7) > 0 then return {'conflict', now} end
end
return bury(ARGV[1], ARGV[2], given(ARGV[3]))
"""

_EXPIRE: Final = """
-- keep_ms
if state ~= 'expired' then return {state, now} end
return bury(ARGV[1], d ~= NEVER and e >= d and 'expired_lifetime' or 'expired_idle')
"""

_ADMIT: Final = f"""
-- KEYS[1] is a user's index. sid, limit, policy, number of live sids; the live sids, unseen for longest first, each
-- with '1' if it signed in so long ago that it counts without a mark; then the sids found dead.
--
-- Marks beside the sids say what the sessions, on other keys, cannot say in time: 'a:<sid>' is admitted, though its
-- session may not be stored yet; 'x:<sid>' was handed to somebody to end, and still works and is listed until then.
-- Either is forgotten when the session does not follow, so that a login that died refuses nobody for long.
local key, me, limit, policy = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local ADMITTED, CONDEMNED, MARGIN, DAY = {ADMITTED_FROM}, {CONDEMNED_FROM}, {MARGIN_MS}, 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', key, ADMITTED, ADMITTED + now - DAY)
redis.call('ZREMRANGEBYSCORE', key, CONDEMNED, CONDEMNED + now - MARGIN)
local admitted, condemned, order = {{}}, {{}}, {{}}
local marks = redis.call('ZRANGEBYSCORE', key, ADMITTED, '+inf', 'WITHSCORES')
for i = 1, #marks, 2 do
  local sid = string.sub(marks[i], 3)
  if string.sub(marks[i], 1, 1) == 'x' then condemned[sid] = true
  else admitted[sid] = marks[i + 1] - ADMITTED; order[#order + 1] = sid end
end
if admitted[me] then return {{'ok', now, {{}}}} end

local others, known, is_live = {{}}, {{}}, {{}}
local first_dead = 5 + 2 * ARGV[4]
for i = 5, first_dead - 1, 2 do
  local sid, is_old = ARGV[i], ARGV[i + 1] == '1'
  known[sid], is_live[sid] = true, true
  if sid == me and is_old then return {{'ok', now, {{}}}} end
  local counts = policy ~= 'refuse' or is_old or admitted[sid]
  if sid ~= me and counts and not condemned[sid] and redis.call('ZSCORE', key, sid) then others[#others + 1] = sid end
end
for i = first_dead, #ARGV do known[ARGV[i]] = true end
-- Who was ended before it was admitted, by a login that was faster, takes nobody's place.
if known[me] and not (is_live[me] and redis.call('ZSCORE', key, me)) then return {{'ok', now, {{}}}} end
for _, sid in ipairs(order) do
  if not known[sid] and not condemned[sid] and now - admitted[sid] < MARGIN then others[#others + 1] = sid end
end

local ending = {{}}
if policy == 'refuse' then
  if #others >= limit then return {{'limit', now}} end
else
  local excess = #others + (condemned[me] and 0 or 1) - limit
  for i = 1, math.min(excess, #others) do
    ending[i] = others[i]
    redis.call('ZADD', key, CONDEMNED + now, 'x:' .. others[i])
  end
end
redis.call('ZADD', key, ADMITTED + now, 'a:' .. me)
return {{'ok', now, ending}}
"""


class Script(str):
    """Be a script's text, and know the digest that Redis calls it by."""

    __slots__ = ("sha",)

    sha: str

    def __new__(cls, text: str) -> Script:
        """Digest the text; Redis asks for SHA-1, as a name and not for security."""
        script = super().__new__(cls, text)
        script.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return script


CREATE: Final = Script(_CREATE)
WRITE: Final = Script(_CLOCK + _READ + _VALUES + _RULES + _WRITE)
SAVE: Final = Script(_CLOCK + _SAVE)
END: Final = Script(_CLOCK + _READ + _VALUES + _RULES + _END)
EXPIRE: Final = Script(_CLOCK + _READ + _VALUES + _RULES + _EXPIRE)
ADMIT: Final = Script(_ADMIT)

TEXTS: Final = {script.sha: str(script) for script in (CREATE, WRITE, SAVE, END, EXPIRE, ADMIT)}
"""Each script's text by its digest, for the first time that a server meets it."""
