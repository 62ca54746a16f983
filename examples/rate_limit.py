"""Five password attempts a minute, and what a caller is told who has used them up."""

from redisorm import Limit, RateLimiter, RateLimitExceeded, connect

with connect("memory://", namespace="shop") as db:
    limiter = RateLimiter(db, "login", Limit(5, per=60), Limit(100, per=86_400))

    @limiter.guard("{user}")
    def login(user: str, password: str) -> bool:
        return password == "open sesame"

    for password in ("1234", "password", "qwerty", "letmein", "dragon", "open sesame"):
        try:
            print(f"{password:12} {'welcome' if login('ali', password) else 'wrong'}, {limiter.peek('ali').remaining} attempts left")
        except RateLimitExceeded as error:
            print(f"{password:12} {error}")

    print("bob has", limiter.peek("bob").remaining, "attempts")
