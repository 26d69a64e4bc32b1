-- Lists a new session, and stores it if its key is free. On one server only: a cluster is told in two steps.
--
-- KEYS: the session; the list of everybody's that has it; its user's index, if it has a user.
-- Replies what SET says. An error ends the script, so what could not be listed is not stored. A full server refuses the
-- first command, and none after it.
local session, shard, index = KEYS[1], KEYS[2], KEYS[3]
local sid, image, goes_ms, score, listed_until_ms, past_ms = unpack(ARGV)

redis.call('ZADD', shard, 'GT', score, sid)
if index then
  redis.call('ZREMRANGEBYSCORE', index, '-inf', past_ms)
  redis.call('ZADD', index, 'GT', listed_until_ms, sid)
end
return redis.call('SET', session, image, 'NX', 'PXAT', goes_ms)
