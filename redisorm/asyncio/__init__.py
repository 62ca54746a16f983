"""The awaited face: the same sessions and models as in `redisorm.sync`, file by file, with their verbs awaited."""
