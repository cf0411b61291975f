-- Writes flag, run state, the run it supersedes, files, audit and notice as one step, or nothing.
-- A script is not a transaction: everything is checked before the first write.
-- KEYS: flags revisions runs experiments files audit token meta kept changes ahead deleted
-- ARGV: route expected_revision flag run expected_version run_state experiment token audit channel store_id most_kept
--       revision, ended_run expected_version run_state audit, deletes ('1': the flag is taken away), then pairs of file
--       name and text
local route, expected, flag = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local run, state, experiment, revision, ended = ARGV[4], ARGV[6], ARGV[7], tonumber(ARGV[13]), ARGV[14]
for i, kind in ipairs({'hash', 'hash', 'hash', 'hash', 'hash', 'stream', 'string', 'hash', 'hash', 'zset', 'hash', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= kind then return {'WRONGTYPE', KEYS[i], found} end
end
for i = 1, #ARGV do
  if #ARGV[i] > 4194304 then return {'TOOLARGE', tostring(i), tostring(#ARGV[i])} end
end
if ARGV[8] ~= '' and ARGV[8] ~= (redis.call('GET', KEYS[7]) or '') then return {'FENCED'} end
if route ~= '' then
  local found = tonumber(string.match(redis.call('HGET', KEYS[2], route) or '0', '^%d+'))
  if found ~= expected then return {'STALE', tostring(found), redis.call('HGET', KEYS[1], route) or ''} end
  -- A gateway routes by a later revision than this store remembers: what is written below it, nobody would take.
  local ahead = redis.call('HGET', KEYS[11], route) or '0'
  if tonumber(ahead) >= revision then return {'AHEAD', ahead} end
end
for _, at in ipairs({4, 14}) do
  local name = ARGV[at]
  if name ~= '' then
    local text = redis.call('HGET', KEYS[3], name)
    local found = 0
    if text then found = cjson.decode(text)['version'] end
    if found ~= tonumber(ARGV[at + 1]) then return {'MOVED', tostring(found), text or '', name} end
  end
end
redis.call('HSETNX', KEYS[8], 'store_id', ARGV[11])
if route ~= '' and flag ~= '' then
  if ARGV[18] == '1' then
    redis.call('HDEL', KEYS[1], route)
    redis.call('HSET', KEYS[2], route, revision .. ':')
    redis.call('HSET', KEYS[12], route, flag)
  else
    redis.call('HSET', KEYS[1], route, flag)
    redis.call('HSET', KEYS[2], route, revision .. ':' .. string.sub(redis.sha1hex(flag), 1, 8))
    redis.call('HSET', KEYS[9], route .. ' ' .. revision, flag)
    redis.call('HDEL', KEYS[12], route)
  end
  redis.call('HDEL', KEYS[9], route .. ' ' .. (revision - tonumber(ARGV[12])))
  redis.call('ZADD', KEYS[10], redis.call('HINCRBY', KEYS[8], 'changes', 1), route)
  redis.call('HDEL', KEYS[11], route)
end
if ended ~= '' then
  redis.call('HSET', KEYS[3], ended, ARGV[16])
  redis.call('XADD', KEYS[6], '*', 'entry', ARGV[17])
end
if run ~= '' then
  redis.call('HSET', KEYS[3], run, state)
  redis.call('HSET', KEYS[4], experiment, run)
end
for i = 19, #ARGV - 1, 2 do redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1]) end
if ARGV[9] ~= '' then redis.call('XADD', KEYS[6], '*', 'entry', ARGV[9]) end
if route ~= '' then redis.call('PUBLISH', ARGV[10], route) end
return {'OK'}
