"""Two versions of this package that share sessions, and sessions that earlier ones have stored."""
