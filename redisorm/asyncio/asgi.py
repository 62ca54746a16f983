"""A rate limit in front of a web application: ASGI middleware, and a dependency for FastAPI.

The middleware needs no framework. The dependency asks for Starlette, which FastAPI brings along, when it is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from redisorm.asyncio.ratelimit import AsyncRateLimiter
from redisorm.patterns.limits import Decision

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["RateLimitMiddleware", "client_address", "rate_limit"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSAL = b"Too Many Requests\n"


def client_address(scope: Scope) -> str:
    """Return the address of the peer: behind a proxy its own, unless the server was told to trust `X-Forwarded-For`."""
    client = scope.get("client")
    return str(client[0]) if client else ""


class RateLimitMiddleware:
    """Answers requests over the limit with 429, and tells every client what it has left.

    ::

        app = RateLimitMiddleware(app, AsyncRateLimiter(db, "web", Limit(100, per=60)))

    Every answer has the headers of `Decision.headers()`. Only HTTP requests count: WebSockets and the lifespan pass. One round trip
    to the server for each request.

    Args:
        app: The application.
        limiter: What decides.
        key: Whose request it is, from the ASGI scope; `None` lets it pass uncounted. Without it, the address of the peer.
        cost: How many hits a request is.
    """

    def __init__(self, app: Application, limiter: AsyncRateLimiter, key: Callable[[Scope], object] = client_address, cost: int = 1) -> None:
        self._app = app
        self._limiter = limiter
        self._key = key
        self._cost = cost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        subject = self._key(scope) if scope["type"] == "http" else None
        if subject is None:
            await self._app(scope, receive, send)
            return
        decision = await self._limiter.hit(subject, cost=self._cost)
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in decision.headers().items()]
        if not decision.allowed:
            headers += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
            await send({"type": "http.response.start", "status": 429, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})
            return

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await self._app(scope, receive, told)


def rate_limit(
    limiter: AsyncRateLimiter, key: Callable[[Request], object] | None = None, cost: int = 1
) -> Callable[[Request, Response], Awaitable[Decision]]:
    """Return a dependency for FastAPI that answers a request over the limit with 429.

    ::

        @app.post("/login", dependencies=[Depends(rate_limit(limiter))])

    The answer has the headers of `Decision.headers()`; the decision itself is what the dependency returns.

    Args:
        limiter: What decides.
        key: Whose request it is; without it, the address of the peer.
        cost: How many hits a request is.

    Raises:
        ModuleNotFoundError: FastAPI (Starlette) is not installed.
    """
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    async def limited(request: Request, response: Response) -> Decision:
        subject = client_address(request.scope) if key is None else key(request)
        decision = await limiter.hit(subject, cost=cost)
        if not decision.allowed:
            raise HTTPException(429, "Too Many Requests", decision.headers())
        response.headers.update(decision.headers())
        return decision

    # FastAPI reads annotations, and as text it could not find these names.
    limited.__annotations__.update(request=Request, response=Response)
    return limited
