"""A leaderboard in a sorted set: the best, one's own place and neighbours, and scores that only rise.

python examples/leaderboard.py [URL]
"""

import sys

from redisorm import RedisSortedSet, connect

with connect(sys.argv[1] if len(sys.argv) > 1 else "embedded://", namespace="game") as db:
    board = RedisSortedSet[str]("leaderboard")
    board.update({"Alice": 1500, "Bob": 2200, "Carol": 1800, "Dave": 900, "Eve": 1800})

    print("Alice now has", board.increment("Alice", 350))
    for place, (name, score) in enumerate(board.top(3), 1):
        print(f"{place}. {name:6} {score:6.0f}")

    place = board.rank("Alice")
    assert place is not None
    print("Alice is number", place + 1, "of", len(board))
    print("around Alice:", board.around("Alice", 1))
    print("between 1000 and 1800:", board.between(1000, 1800))

    assert not board.add("Bob", 2000, only="higher")  # a worse game changes nothing
    assert board.add("Frank", 100, only="new")
    print("dropped:", board.remove_ranks(5), "- the best five stay")
    assert list(board) == ["Dave", "Carol", "Eve", "Alice", "Bob"]  # ascending; ties by name
