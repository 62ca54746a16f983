"""Who holds which objects, what happened to them, and what of it the server has agreed to. Nothing here performs I/O."""
