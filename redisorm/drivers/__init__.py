"""Drivers perform what flows ask for: the only floor that talks to a server, and the only one that imports a Redis client.

`database` holds the clients, `blocking` and `awaiting` perform the requests, `exchange` makes packets and reads replies
apart without any I/O, `translate` turns redis-py's errors into ours. No driver knows a model, a field or the meaning of a key.
"""
