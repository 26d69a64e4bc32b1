"""Sessions that are bound to a device."""
