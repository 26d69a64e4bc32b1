-- Part of other scripts, after clock.lua. Lets a user's index lapse a day after the last session in it; by then a mark
-- says nothing any more.
local last = redis.call('ZREVRANGEBYSCORE', index, '(' .. ADMITTED_FROM, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
redis.call('PEXPIREAT', index, math.max(now, last[2] or 0) + DAY_MS)
