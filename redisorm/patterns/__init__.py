"""What people use Redis for beside objects: channels, streams, rate limits, locks, caches. Classes, commands and flows; no connection."""
