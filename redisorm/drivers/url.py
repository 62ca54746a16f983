"""Which server a URL names: the forms `connect` takes, and where one comes from when none is given.

It reads text and environment variables only; clients are made in `database`. No text it makes shows credentials.
"""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from redisorm.errors import UnsupportedServerError

__all__ = ["Location", "locate"]

_FORMS = "redis://, rediss://, unix://, memory:// or embedded://"
_DIRECT = frozenset({"redis", "rediss", "unix"})
_LATER = frozenset({"redis+sentinel", "redis+cluster"})


@dataclass(frozen=True, slots=True)
class Location:
    """Where a database is.

    Attributes:
        scheme: `redis`, `rediss`, `unix`, `memory` or `embedded`.
        url: The URL as given, credentials and all.
        name: The name of a `memory://` store or the path of an `embedded://` one; `None` for a private one.
    """

    scheme: str
    url: str
    name: str | None = None

    def __repr__(self) -> str:
        return f"<Location {self.public}>"

    @property
    def public(self) -> str:
        """The URL without user, password and options."""
        parts = urlsplit(self.url)
        return f"{self.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def locate(url: str | None) -> Location:
    """Find out which server is meant; with `None` from `$REDISORM_URL`, else `$REDIS_URL`, else `memory://` with a `UserWarning`.

    Raises:
        ValueError: The URL has no form known here.
        UnsupportedServerError: Its form is one of a later version.
    """
    if url is None:
        url = os.environ.get("REDISORM_URL") or os.environ.get("REDIS_URL")
    if url is None:
        warnings.warn(
            "no URL given and neither REDISORM_URL nor REDIS_URL is set: using memory://, whose data is gone with this process; "
            "call redisorm.connect(url), or say connect('memory://') to mean it",
            UserWarning,
            stacklevel=_outside(),
        )
        url = "memory://"
    parts = urlsplit(url)
    scheme = parts.scheme
    if scheme in _LATER:
        raise UnsupportedServerError(
            f"{scheme}:// is not available in this version of redisorm; use redis:// with one server, or hand in a client"
        )
    if scheme in _DIRECT:
        _check_port(parts)
        return Location(scheme, url)
    if scheme == "memory":
        return Location(scheme, url, (parts.netloc + parts.path) or None)
    if scheme == "embedded":
        if parts.netloc:
            raise ValueError(f"embedded://{parts.netloc}… names a host; write embedded:// or embedded:///a/path with three slashes")
        return Location(scheme, url, parts.path or None)
    # The rest of the text is not shown: what is no URL may still hold a password.
    raise ValueError(f"a URL with the scheme {scheme!r} is none that redisorm knows; write {_FORMS}")


def _check_port(parts: SplitResult) -> None:
    """Refuse a port that is none now rather than at the first use, without showing it: it may be a password."""
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(
            f"the port of this {parts.scheme}:// URL is no number up to 65535 (it is not shown, since it may be a password): write "
            f"{parts.scheme}://user:password@host:port/0, and percent-encode '/', '@', ':' and '#' in a password"
        ) from None


def _outside() -> int:
    """Return the stack level, as `warnings.warn` in the caller counts, of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    return level
