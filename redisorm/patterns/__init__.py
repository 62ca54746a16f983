"""What people use Redis for beside objects: channels, streams and their workers. Classes, commands and flows; no connection."""
