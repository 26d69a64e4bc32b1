"""The Lua scripts of the Redis store: every step that must be atomic, each on one key.

``_READ`` and ``_RULES`` hold each rule once: what is live, whose verifier is accepted, what expires when. A script's
reply is ``{status, now_ms, ...}``; ``now_ms`` is Redis' own clock, the only one that decides.

A script writes nothing before its last check has passed, so a refusal leaves the session as it was.
"""

from __future__ import annotations

import hashlib
from typing import Final

from django_srvsession.records import ROTATION_GRACE_MS

FORMAT: Final = b"1"
"""What field ``m`` of a session's hash says: a hash of another format is never written to."""

FIELDS: Final = ("v", "p", "r", "f", "u", "i", "a", "c", "s", "l", "t", "e", "d", "n")
"""A record's fields in the session's hash; a field that would be None is absent.

verifier, previous verifier, rotated_ms, rotation final ("1" or "0"), user id, ip, user agent, created_ms, signed_in_ms,
last_seen_ms, lifetime_ms, expires_ms, deadline_ms, version. Beside them: ``m`` the format, ``g`` until when (ms) the
user's index is known to hold the session, ``v:<name>`` a sealed value; in a tombstone ``x`` the reason, ``b`` by whom,
``w`` when (ms).
"""

MARGIN_MS: Final = 60_000
"""How far a client's idea of Redis' clock, and the two steps of a login, may be apart; milliseconds."""

TTL_STEP_MS: Final = 60_000
"""A save that moves the expiry within such a step leaves the key's TTL, which is later by a step at least."""

MOST_SAVED: Final = 3000
"""How many values a plain save takes: Lua cannot pass on more than about 8,000 names and values."""

ADMITTED_FROM: Final = 4_000_000_000_000_000
CONDEMNED_FROM: Final = 6_000_000_000_000_000
"""Scores of the marks in a user's index: above every expiry, below 2**53; what exceeds them is when (ms) it was set."""

_RECORD: Final = ", ".join(f"'{name}'" for name in FIELDS)

_CLOCK: Final = """
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local m, x, v, e, t, d, n, l, u, g, c
local state = 'absent'
"""

# Locals and one HMGET, no tables and loops: this runs at every save.
_READ: Final = f"""
m, x, v, e, t, d, n, l, u, g, c =
  unpack(redis.call('HMGET', key, 'm', 'x', 'v', 'e', 't', 'd', 'n', 'l', 'u', 'g', 'c'))
e, t, d, n, l, g = tonumber(e), tonumber(t), tonumber(d), tonumber(n), tonumber(l), tonumber(g)
if not m and redis.call('EXISTS', key) == 0 then state = 'absent'
elseif m ~= '{FORMAT.decode()}' then state = 'corrupt'
elseif x then state = 'ended'
elseif not (v and e and t and n and l and tonumber(c)) then state = 'corrupt'
elseif now >= e then state = 'expired'
else state = 'live' end
"""

_RULES: Final = f"""
local function accepts(verifier)
  if verifier == v then return true end
  local previous, final, rotated = unpack(redis.call('HMGET', key, 'p', 'f', 'r'))
  return final == '0' and verifier == previous and now - (tonumber(rotated) or 0) < {ROTATION_GRACE_MS}
end

local function expiry()
  return math.min(now + t, d or math.huge)
end

-- The user's index holds the session until g, and must before the session lives longer.
local function is_indexed()
  return not u or e <= (g or 0)
end

-- unpack() fails above about 8,000 values. Even, because names and values come in pairs.
local CHUNK = 6000
local function each_chunk(command, list, first, last)
  for i = first, last, CHUNK do
    redis.call(command, key, unpack(list, i, math.min(i + CHUNK - 1, last)))
  end
end

-- Kept on after its expiry, so that somebody notices it, and then says so.
local function keep(keep_ms)
  redis.call('PEXPIREAT', key, math.max(e, now) + keep_ms)
end

local function record()
  return redis.call('HMGET', key, {_RECORD})
end

local function given(argument)
  return argument ~= '' and string.sub(argument, 2)
end

-- What stands under each name whose expected bytes do not, and where the arguments go on:
-- ARGV[at] names with bytes, ARGV[at + 1] names to be absent; they follow from ARGV[i] on.
local function conflicts(at, i)
  local found = {{}}
  local function check(name, expected)
    local stands = redis.call('HGET', key, name)
    if stands ~= expected then found[#found + 1] = name; found[#found + 1] = stands end
  end
  for _ = 1, tonumber(ARGV[at]) do check(ARGV[i], ARGV[i + 1]); i = i + 2 end
  for _ = 1, tonumber(ARGV[at + 1]) do check(ARGV[i], false); i = i + 1 end
  return found, i
end

local function bury(keep_ms, reason, by)
  local buried, previous = record(), redis.call('HGET', key, 'p')
  redis.call('DEL', key)
  redis.call('HSET', key, 'm', m, 'v', v, 'x', reason, 'w', now)
  if previous then redis.call('HSET', key, 'p', previous) end
  if u then redis.call('HSET', key, 'u', u) end
  if by then redis.call('HSET', key, 'b', by) end
  redis.call('PEXPIREAT', key, now + keep_ms)
  return {{'ok', now, buried}}
end
"""

_WRITE: Final = """
-- keep_ms, verifier, =new verifier, final, indexed until, =user, lifetime, =deadline, extend, cleared, version that the
-- caller knows; then numbers of: resealed, removed, expected, expected to be absent; then the lists: expected (name,
-- bytes), absent (name), resealed (name, old, new), fields to remove (name), fields to write (name, bytes), those of
-- the record that the caller changes among them
if state ~= 'live' then return {state, now} end
local rotated_to, user = given(ARGV[3]), given(ARGV[6])
if rotated_to and v == rotated_to then return {'ok', now, redis.call('HGETALL', key), 'again'} end
if rotated_to and v ~= ARGV[2] or not accepts(ARGV[2]) then return {'refused', now} end
if user and u and u ~= user then return {'refused', now} end
local at = 16
if ARGV[14] ~= '0' or ARGV[15] ~= '0' then
  local differing
  differing, at = conflicts(14, at)
  if #differing > 0 then return {'conflict', now, differing} end
end

t = tonumber(ARGV[7]) or t
if ARGV[8] ~= '' then d = tonumber(given(ARGV[8])) end
e = ARGV[9] == '1' and expiry() or math.min(e, d or math.huge)
u, g = user or u, math.max(g or 0, tonumber(ARGV[5]))
if not is_indexed() then return {'unindexed', now, e, t, u} end

if ARGV[10] == '1' then
  local drop = {}
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 2) == 'v:' then drop[#drop + 1] = name end
  end
  each_chunk('HDEL', drop, 1, #drop)
end
local removed_from = at + ARGV[12] * 3
local written_from = removed_from + ARGV[13]
each_chunk('HDEL', ARGV, removed_from, written_from - 1)
for i = at, removed_from - 1, 3 do
  if redis.call('HGET', key, ARGV[i]) == ARGV[i + 1] then redis.call('HSET', key, ARGV[i], ARGV[i + 2]) end
end
local first = math.min(written_from + CHUNK - 1, #ARGV)
redis.call('HSET', key, 'l', math.max(now, l), 'e', e, 'n', n + 1, unpack(ARGV, written_from, first))
each_chunk('HSET', ARGV, first + 1, #ARGV)
if rotated_to then
  local signed_in = not user and tonumber(redis.call('HGET', key, 's')) or 0
  redis.call('HSET', key, 'p', v, 'v', rotated_to, 'r', math.max(now, signed_in + 1), 'f', ARGV[4])
end
if user then redis.call('HSET', key, 's', now) end
if ARGV[5] ~= '0' then redis.call('HSET', key, 'g', g) end
keep(ARGV[1])
if ARGV[11] == '' then return {'ok', now, redis.call('HGETALL', key)} end
if tonumber(ARGV[11]) ~= n then return {'ok', now, record()} end
return {'ok', now}
"""

# What nearly every save asks, in few words: a script costs Redis ten times what its commands cost.
_SAVE: Final = f"""
-- verifier, version that the caller knows, keep_ms, then the fields to write; that is all it does. Replies the time,
-- with the record if it is of another version; or 0, having done nothing, where only WRITE knows the rules.
local key, time = KEYS[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local m, x, v, n, e, t, d, l, u, g, c =
  unpack(redis.call('HMGET', key, 'm', 'x', 'v', 'n', 'e', 't', 'd', 'l', 'u', 'g', 'c'))
if m ~= '{FORMAT.decode()}' or x or v ~= ARGV[1] then return 0 end
local old, lifetime, seen, version = tonumber(e), tonumber(t), tonumber(l), tonumber(n)
if not (old and lifetime and seen and version and tonumber(c)) or now >= old then return 0 end
local expires = now + lifetime
if d then expires = math.min(expires, d) end
if u and expires > (tonumber(g) or 0) then return 0 end
redis.call('HSET', key, 'l', math.max(now, seen), 'e', expires, 'n', version + 1, unpack(ARGV, 4))
if math.floor(expires / {TTL_STEP_MS}) ~= math.floor(old / {TTL_STEP_MS}) then
  redis.call('PEXPIREAT', key, expires + ARGV[3])
end
if n ~= ARGV[2] then return {{'ok', now, redis.call('HMGET', key, {_RECORD})}} end
return now
"""

_END: Final = """
-- keep_ms, reason, =by, =verifier, then the numbers and lists of what is expected
if state ~= 'live' then return {state, now} end
local verifier = given(ARGV[4])
if verifier and not accepts(verifier) then return {'refused', now} end
if #conflicts(5, 7) > 0 then return {'conflict', now} end
return bury(ARGV[1], ARGV[2], given(ARGV[3]))
"""

_EXPIRE: Final = """
-- keep_ms
if state ~= 'expired' then return {state, now} end
return bury(ARGV[1], d and e >= d and 'expired_lifetime' or 'expired_idle')
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


WRITE: Final = Script(_CLOCK + _READ + _RULES + _WRITE)
SAVE: Final = Script(_SAVE)
END: Final = Script(_CLOCK + _READ + _RULES + _END)
EXPIRE: Final = Script(_CLOCK + _READ + _RULES + _EXPIRE)
ADMIT: Final = Script(_ADMIT)

TEXTS: Final = {script.sha: str(script) for script in (WRITE, SAVE, END, EXPIRE, ADMIT)}
"""Each script's text by its digest, for the first time that a server meets it."""
