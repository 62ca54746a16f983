-- A script does not roll back, so a command this user may not run is refused before the first one that writes.

local function refusal(name, key, ...)
  if redis.acl_check_cmd(name, key, ...) then return nil end
  return redis.error_reply('NOPERM this user may not run ' .. name .. ' on ' .. key)
end
