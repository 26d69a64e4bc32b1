-- Part of other scripts. Sets now: Redis' own time in milliseconds, by which alone is decided what lives.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
