"""The users of these tests: one may write a lone row by one command, one commits by script, one may do neither and commits by WATCH.

A fourth is denied scripts alone.
"""

from __future__ import annotations

from tests.servers import Server

__all__ = ["EVERY_USER", "USERS", "allow_all", "as_user"]

USERS: dict[str, tuple[str, ...]] = {"scripting": ("-hsetex",), "watching": ("-hsetex", "-eval", "-evalsha")}
UNSCRIPTED: dict[str, tuple[str, ...]] = {"unscripted": ("-eval", "-evalsha")}
EVERY_USER: dict[str, tuple[str, ...]] = {"commanding": (), **USERS}


def allow_all(server: Server) -> None:
    """Make the users, or give them their rights back."""
    for user, rules in {**EVERY_USER, **UNSCRIPTED}.items():
        known = [rule for rule in rules if server.kind != "redis7" or rule != "-hsetex"]  # which that has not
        assert server.ask("ACL", "SETUSER", user, "reset", "on", ">secret", "~*", "&*", "+@all", *known) == b"+OK\r\n"


def as_user(url: str, user: str) -> str:
    """The URL with a user and the password in it."""
    return url.replace("redis://", f"redis://{user}:secret@")
