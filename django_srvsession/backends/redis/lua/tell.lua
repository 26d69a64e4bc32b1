-- Part of other scripts: a hint to those who watch the session, at <prefix>ended. It comes last, and whoever may not send
-- it has ended the session all the same.
redis.pcall('PUBLISH', string.sub(key, 1, -#'s:' - #sid - 1) .. 'ended', sid)
