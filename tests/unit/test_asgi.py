"""The rate limit in front of a web application."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from redisorm import AsyncRateLimiter, Database, Decision, Limit
from redisorm.asyncio.asgi import RateLimitMiddleware, rate_limit


class Peer:
    """One client of an ASGI application, with no server between."""

    def __init__(self, app: Any, address: str | None = "10.0.0.1") -> None:
        self.app = app
        self.address = address

    async def ask(self, path: str = "/", kind: str = "http") -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(dict(message))

        client = None if self.address is None else (self.address, 1234)
        about = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "method": "GET", "headers": []}
        scope = {"type": kind, "client": client, "scheme": "http", "http_version": "1.1", "server": ("test", 80), **about}
        await self.app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0].get("headers", ())}
        return sent[0].get("status", 0), headers, b"".join(message.get("body", b"") for message in sent)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


def limiter() -> AsyncRateLimiter:
    return AsyncRateLimiter(Database("memory://"), "web", Limit(2, per=60))


def test_requests_over_the_limit_are_answered_with_429_and_the_standard_headers() -> None:
    async def main() -> None:
        peer = Peer(RateLimitMiddleware(hello, limiter()))

        status, headers, body = await peer.ask()
        assert (status, body) == (200, b"hello")
        assert headers == {
            "content-type": "text/plain",
            "ratelimit-policy": "2;w=60",
            "ratelimit-limit": "2",
            "ratelimit-remaining": "1",
            "ratelimit-reset": "30",
        }
        await peer.ask()
        status, headers, body = await peer.ask()
        assert (status, headers["retry-after"], headers["ratelimit-remaining"]) == (429, "30", "0")
        assert headers["content-length"] == str(len(body))

    asyncio.run(main())


def test_each_peer_has_a_limit_of_its_own_and_one_without_a_key_has_none() -> None:
    async def main() -> None:
        app = RateLimitMiddleware(hello, limiter(), key=lambda scope: None if scope["path"] == "/health" else scope["client"][0], cost=2)

        assert (await Peer(app, "10.0.0.1").ask())[0] == 200
        assert (await Peer(app, "10.0.0.2").ask())[0] == 200
        assert (await Peer(app, "10.0.0.2").ask())[0] == 429
        for _ in range(5):
            status, headers, _ = await Peer(app, "10.0.0.2").ask("/health")
            assert (status, "ratelimit-limit" in headers) == (200, False)

    asyncio.run(main())


def test_what_is_no_http_request_passes() -> None:
    async def main() -> None:
        kinds: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            kinds.append(scope["type"])
            await send({"type": "done"})

        peer = Peer(RateLimitMiddleware(app, limiter(), cost=2))
        for kind in ("lifespan", "websocket", "websocket"):
            await peer.ask(kind=kind)
        assert kinds == ["lifespan", "websocket", "websocket"]

    asyncio.run(main())


def test_a_peer_without_an_address_is_one_subject() -> None:
    async def main() -> None:
        peer = Peer(RateLimitMiddleware(hello, limiter()), None)
        assert [(await peer.ask())[0] for _ in range(3)] == [200, 200, 429]

    asyncio.run(main())


def test_fastapi_takes_a_limit_as_a_dependency() -> None:
    fastapi = pytest.importorskip("fastapi", reason='pip install "redisorm[test]"')
    app: Any = fastapi.FastAPI()
    guard = rate_limit(limiter())
    per_path = rate_limit(limiter(), key=lambda request: request.url.path)

    async def plain() -> str:
        return "hello"

    async def told(decision: Any) -> int:
        assert isinstance(decision, Decision)
        return decision.remaining

    told.__annotations__["decision"] = Annotated[Any, fastapi.Depends(per_path)]
    app.get("/plain", dependencies=[fastapi.Depends(guard)])(plain)
    app.get("/told")(told)

    async def main() -> None:
        peer = Peer(app)
        status, headers, body = await peer.ask("/plain")
        assert (status, body, headers["ratelimit-remaining"]) == (200, b'"hello"', "1")
        await peer.ask("/plain")
        status, headers, body = await peer.ask("/plain")
        assert (status, body, headers["retry-after"]) == (429, b'{"detail":"Too Many Requests"}', "30")
        assert (await peer.ask("/told"))[2] == b"1"

    asyncio.run(main())
