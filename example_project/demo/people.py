"""The people of the demo. Everybody knows their passwords."""

NAMES = ("alice", "bob", "admin")


def password_of(name: str) -> str:
    return f"demo-{name}"
