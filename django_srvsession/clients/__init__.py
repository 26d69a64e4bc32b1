"""Where a request comes from: address, device, place. Hints for people, never proof."""
