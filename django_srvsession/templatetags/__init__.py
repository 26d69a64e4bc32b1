"""Template tags and filters: devices, addresses, times."""
