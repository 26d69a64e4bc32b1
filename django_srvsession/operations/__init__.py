"""What operators do with many sessions: select, count, clear, examine."""
