"""The two users of these tests: one commits by script, the other may not run scripts and commits by WATCH."""

from __future__ import annotations

from tests.servers import Server

__all__ = ["USERS", "allow_all", "as_user"]

USERS: dict[str, tuple[str, ...]] = {"scripting": (), "watching": ("-eval", "-evalsha")}


def allow_all(server: Server) -> None:
    """Make the users, or give them their rights back."""
    for user, rules in USERS.items():
        assert server.ask("ACL", "SETUSER", user, "reset", "on", ">secret", "~*", "&*", "+@all", *rules) == b"+OK\r\n"


def as_user(url: str, user: str) -> str:
    """The URL with a user and the password in it."""
    return url.replace("redis://", f"redis://{user}:secret@")
