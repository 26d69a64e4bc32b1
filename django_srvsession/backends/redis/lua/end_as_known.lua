-- Ends a session that is what the caller has loaded: nearly every logout is this, in few words, for a script costs Redis
-- ten times what its commands cost.
--
-- KEYS: the session; on one server the list of everybody's that has it, and that user's index, if there is a user. A
-- cluster is told of those afterwards.
-- Replies the time; or 0, having done nothing, where only end.lua knows the rules.
local key, list, index = KEYS[1], KEYS[2], KEYS[3]
local sid, known_version, verifier, keep_ms, rest = unpack(ARGV) -- rest: what a tombstone says behind the time

-- include clock.lua

local head = redis.call('GETRANGE', key, 0, HEAD_BYTES - 1)
if #head < HEAD_BYTES then return 0 end
local kind, v, n, l, e = struct.unpack(GUARD, head)
-- A server that was promoted may lack what the former one had written last: another session may have this version.
if kind ~= SESSION or n ~= tonumber(known_version) or v ~= verifier or now >= e then return 0 end

-- A server whose memory is full does all that a script asks once it has written something: so what frees memory is first.
-- What is done is done: a list that is none of ours stops nobody. Readers skip what is left in one.
if list then redis.pcall('ZREM', list, sid) else redis.call('PERSIST', key) end
if index then redis.pcall('ZREM', index, sid, ADMITTED_MARK .. sid, CONDEMNED_MARK .. sid) end
redis.call('SET', key, struct.pack(ENDED_HEAD, TOMBSTONE, v, now) .. rest, 'PXAT', now + keep_ms)
-- include tell.lua
return now
