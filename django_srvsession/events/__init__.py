"""What happened to sessions: the log of starts and ends, and the history that people are shown."""
