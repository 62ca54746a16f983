"""Tags in sets: the server puts them together, compares and stores them.

python examples/tags.py [URL]
"""

import sys

from redisorm import RedisDict, RedisSet, connect

with connect(sys.argv[1] if len(sys.argv) > 1 else "embedded://") as db:
    post, other = RedisSet[str]("tags:post:1"), RedisSet[str]("tags:post:2")
    post |= {"python", "redis", "backend"}
    other |= {"python", "asyncio"}

    print("both:", sorted(post & other))  # SINTER, at the server
    print("either:", sorted(post | other))
    print("only the first:", sorted(post - other))
    assert "redis" in post
    assert post > {"python", "redis"}

    posts = RedisSet[int]("posts:python")  # and the other way round: the posts that have a tag
    posts.update([1, 2, 3])
    liked = RedisSet[int]("liked:ann", ttl=3600)
    liked.update([2, 3, 9])
    found = RedisSet[int]("found", ttl=60)
    print(posts.intersection_store(found, liked), "liked posts on Python, kept for a minute:", sorted(found))

    counts = RedisDict[str, int]("tags:counts")
    for tag in [*post, *other]:
        counts.increment(tag)
    print("most used:", max(counts.items(), key=lambda entry: entry[1]))
    assert counts == {"python": 2, "redis": 1, "backend": 1, "asyncio": 1}
