"""Faults that people have reported of sessions elsewhere, each with its right value.

Each module says what was reported and what is right. Where stock Django shows the fault, a test of it stays beside
ours: when that one fails, Django has changed.
"""
