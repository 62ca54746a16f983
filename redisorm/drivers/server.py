"""What is known of the server behind a `Database`: its version, its clock and its commands, as told by its replies.

Nothing here sends or waits: the drivers bring samples and replies, both colours share one `KnownServer`.
"""

from __future__ import annotations

import re
from typing import Any

from redisorm.errors import UnsupportedServerError

__all__ = ["OLDEST_REDIS", "WATCH_LIMIT", "KnownServer", "ServerClock"]

OLDEST_REDIS = (7, 0)
WATCH_LIMIT = 1_000
"""WATCH compares each key with all that are watched already: 10,000 keys block a Redis for 0.4 s, 40,000 for 6 s. Valkey keeps a table."""

_RENEWAL_S = 60.0
_DRIFT = 0.0005  # 500 ppm: what NTP may slew a clock, and more than quartz drifts


class ServerClock:
    """The server's clock as an offset from this machine's monotonic one.

    A sample is wrong by half its round trip at most, and by the drift since. The better of two samples is kept, except
    where they contradict each other: then the server's clock was set, or another server took over, and the new one counts.
    """

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._error_s = float("inf")
        self._taken_at = 0.0
        self._renew_at: float | None = None

    def learn(self, sent_at: float, received_at: float, server_s: float) -> None:
        """Take in a reply to TIME, with the monotonic seconds at which the question left and the answer came."""
        error = (received_at - sent_at) / 2
        offset = server_s - (sent_at + received_at) / 2
        known_error = self._error_s + (received_at - self._taken_at) * _DRIFT
        if error <= known_error or abs(offset - self._offset_s) > error + known_error:
            self._offset_s, self._error_s, self._taken_at = offset, error, received_at
        self._renew_at = received_at + _RENEWAL_S

    def doubt(self) -> None:
        """Ask again before the next use: the connection broke, and another server may stand behind the new one."""
        self._renew_at = None

    def now_ms(self, monotonic_s: float) -> int | None:
        """Return the server's time in ms since 1970, or `None` where it must be asked first."""
        if self._renew_at is None or monotonic_s > self._renew_at:
            return None
        return self.at_ms(monotonic_s)

    def at_ms(self, monotonic_s: float) -> int:
        """Return the server's time in ms since 1970 by the sample at hand, however old."""
        return round((monotonic_s + self._offset_s) * 1000)


def _text(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


class KnownServer:
    """What one server has told of itself.

    Attributes:
        name: `redis`, `valkey`, … as HELLO or INFO call it; empty before the first use.
        version: As the server spells it; empty before the first use.
        clock: Its clock.
        commands: Which of the commands asked about it knows, by upper-case name.
        denies_transactions: Its refusal of MULTI, or `None`.
        watch_limit: How many keys a transaction may watch before that blocks the server, or `None` for any number.
    """

    def __init__(self) -> None:
        self.name: str = ""
        self.version: str = ""
        self.clock: ServerClock = ServerClock()
        self.commands: dict[str, bool] = {}
        self.denies_transactions: Exception | None = None
        self.watch_limit: int | None = WATCH_LIMIT

    def introduce(self, hello: Any) -> None:
        """Take in the reply to HELLO: a map, or in RESP2 a flat list.

        Raises:
            UnsupportedServerError: It is a Redis older than 7.0.
        """
        pairs = hello.items() if isinstance(hello, dict) else zip(hello[::2], hello[1::2], strict=False)
        told = {_text(name): value for name, value in pairs}
        self._accept(_text(told.get("server", "redis")), _text(told.get("version", "")))

    def introduce_by_info(self, info: bytes) -> None:
        """Take in the reply to INFO server, for users who may not send HELLO.

        Raises:
            UnsupportedServerError: It is a Redis older than 7.0.
        """
        told = dict(line.split(":", 1) for line in _text(info).splitlines() if ":" in line)
        if "valkey_version" in told:
            self._accept("valkey", told["valkey_version"].strip())
        else:
            self._accept(told.get("server_name", "redis").strip(), told.get("redis_version", "").strip())

    def _accept(self, name: str, version: str) -> None:
        numbers = re.match(r"(\d+)\.(\d+)", version)
        found = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        # Forks count their own versions, and every Valkey is a descendant of Redis 7.2.
        if name == "redis" and found < OLDEST_REDIS:
            raise UnsupportedServerError(
                f"the server is Redis {version or '(version unknown)'}; redisorm needs Redis 7.0 or newer, or Valkey: upgrade it",
                since="Redis 7.0, Valkey 7.2",
            )
        self.name, self.version = name, version
        self.watch_limit = None if name == "valkey" else WATCH_LIMIT
