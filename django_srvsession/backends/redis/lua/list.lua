-- Lists a session among its user's, and drops what is past.
--
-- KEYS: the user's index.
local index = KEYS[1]
local sid, until_ms = unpack(ARGV)

-- include clock.lua

redis.call('ZREMRANGEBYSCORE', index, '-inf', now - MARGIN_MS)
redis.call('ZADD', index, 'GT', until_ms, sid)
-- include lapse.lua
return now
