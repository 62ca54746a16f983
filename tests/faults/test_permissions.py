"""A user with exactly the rights that docs/security.md lists can do everything, and each of those rights is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

import redisorm
from redisorm import Database
from tests.faults.exercise import FEATURES
from tests.servers import Server

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
BLOCKS = [re.findall(r"ACL SETUSER app (.*)", block) for block in re.findall(r"```\n(ACL SETUSER.*?)```", PAGE, re.DOTALL)]
(KEYS,), (ALWAYS,), *PARTS = BLOCKS
GRANTS = dict(zip(FEATURES, PARTS, strict=True))
NEEDING = {"Live structures": ("Models",), "Events": ("Models", "Messages"), "Workers": ("Models", "Messages", "Events")}
"""Parts that build on others, as the page says."""
CHANNELS = [word for line in GRANTS["Messages"] for word in line.split() if word.startswith("&")]
SCRIPTS = {"eval", "evalsha"}
UNSEEN = {"select", "ping", "discard", "unwatch", "watch"}
"""What only other databases, idle connections and races need."""


def words(lines: list[str]) -> set[str]:
    return {word[1:] for line in lines for word in line.split() if word.startswith("+")}


def known(server: Server, commands: set[str]) -> set[str]:
    """The commands that this server has."""
    return {one for one in commands if not server.ask("COMMAND", "INFO", one).startswith((b"*1\r\n*-1", b"*1\r\n$-1"))}


def let_in(server: Server, commands: set[str]) -> str:
    """Make the user as the page says; his URL."""
    rights = [f"+{one}" for one in sorted(known(server, commands))]
    rules = ["reset", *KEYS.replace(">password", ">secret").split(), *CHANNELS, *rights]
    assert server.ask("ACL", "SETUSER", "app", *rules) == b"+OK\r\n"
    return server.url.replace("redis://", "redis://app:secret@")


def called(server: Server) -> set[str]:
    with redis.Redis(port=server.port) as store:
        statistics: dict[str, dict[str, Any]] = store.info("commandstats")
    return {name.removeprefix("cmdstat_") for name, told in statistics.items() if told["calls"]}


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
@pytest.mark.parametrize("feature", FEATURES)
def test_listed_rights_suffice(server: Server, feature: str, scripts: bool) -> None:
    granted = words([ALWAYS, *(line for part in NEEDING.get(feature, ()) for line in GRANTS[part]), *GRANTS[feature]])
    url = let_in(server, granted if scripts else granted - SCRIPTS)
    for work in FEATURES[feature]:
        server.ask("FLUSHALL")
        with Database(url, namespace="shop") as db:
            work(db)


@pytest.mark.parametrize("feature", FEATURES)
def test_listed_rights_are_needed(server: Server, feature: str) -> None:
    granted = words([ALWAYS, *(line for part in NEEDING.get(feature, ()) for line in GRANTS[part]), *GRANTS[feature]])
    used: set[str] = set()
    for rights in (granted, granted - SCRIPTS):
        url = let_in(server, rights)
        server.ask("CONFIG", "RESETSTAT")
        for work in FEATURES[feature]:
            server.ask("FLUSHALL")
            with Database(url, namespace="shop") as db:
                work(db)
        used |= called(server)
    idle = known(server, words([ALWAYS, *GRANTS[feature]])) - used - UNSEEN
    assert sorted(idle) == []


def test_rights_end_at_the_namespace(server: Server) -> None:
    url = let_in(server, words([ALWAYS, *GRANTS["Models"]]))
    with Database(url, namespace="stranger") as db, pytest.raises(Exception, match="NOPERM"):
        FEATURES["Models"][0](db)
    assert server.ask("DBSIZE") == b":0\r\n"


LIBRARY = Path(redisorm.__file__).parent
ASIDE = {"command", "info", "shutdown"}
"""Asked where it is allowed and done without elsewhere; the end of an embedded server."""


def test_every_command_that_the_library_spells_is_on_the_page(valkey: Server) -> None:
    spelled: set[str] = set()
    for module in {*LIBRARY.rglob("*.py")} - {LIBRARY / "drivers" / "translate.py", LIBRARY / "flows" / "scripts.py"}:  # these classify
        spelled.update(re.findall(r'\(\s*"([A-Z]{3,})",', module.read_text()))
    for script in LIBRARY.rglob("*.lua"):
        spelled.update(re.findall(r"(?:call|ask)\('([A-Z]+)'", script.read_text()))
    listed = {one.partition("|")[0] for one in words([line for block in BLOCKS for line in block])}
    assert sorted(known(valkey, {name.lower() for name in spelled}) - listed - ASIDE) == []
