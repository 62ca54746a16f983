"""Conversations with the server, and the pure functions that make their commands. Nothing here performs I/O."""
