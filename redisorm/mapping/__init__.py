"""Models as plain data: what a class stores, as which text, and what changed. No Redis command is spelled here."""
