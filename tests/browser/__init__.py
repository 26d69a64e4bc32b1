"""Tests with real browsers against the example project in real processes."""
