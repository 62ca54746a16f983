"""Time to live: of a class, of one object, remembered with its row, and restarted by every write."""

from datetime import timedelta

from redisorm import RedisModel, connect


class Token(RedisModel, prefix="token", ttl=3600):
    id: str
    user_id: int
    scopes: set[str] = set()


with connect("memory://") as db:
    token = Token(id="abc", user_id=1, scopes={"read"}).save()
    print("by its class:", token.time_to_live())

    token.save(ttl=60)
    print("of its own:", token.time_to_live())
    assert db.client.pexpiretime(Token.key_of("abc")) == db.client.pexpiretime(Token.key_of("abc") + ":scopes")

    token.scopes.add("write")
    token.save()
    lives = token.time_to_live()
    assert lives is not None
    assert timedelta(seconds=50) < lives <= timedelta(seconds=60)

    token.expire(None)
    assert token.time_to_live() is None
