"""Live structures: what each method of a typed handle says to the server. One module for each kind of Redis key."""
