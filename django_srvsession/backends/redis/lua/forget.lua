-- Forgets what stands at a key, if it is these very bytes: the tombstone of a session that has moved elsewhere.
--
-- KEYS: the session.
-- Replies how many keys were deleted.
local key = KEYS[1]
local bytes = unpack(ARGV)

if redis.call('GET', key) ~= bytes then return 0 end
return redis.call('DEL', key)
