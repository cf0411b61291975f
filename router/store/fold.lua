-- Commits one folded batch: cursor, fold state, unit records, due times and moments, if token and cursor are as read.
-- KEYS: cursor units due moments
-- ARGV: token expected_cursor new_cursor state, then four lists, each led by its length:
--       unit record pairs, units no longer due, due score-member pairs, moment name-value pairs
for i, kind in ipairs({'hash', 'hash', 'zset', 'hash'}) do
  local found = redis.call('TYPE', KEYS[i])['ok']
  if found ~= 'none' and found ~= kind then return {'WRONGTYPE', KEYS[i], found} end
end
local held = redis.call('HMGET', KEYS[1], 'token', 'cursor')
if (held[1] or '') ~= ARGV[1] then return {'FENCED', held[1] or ''} end
if (held[2] or '0-0') ~= ARGV[2] then return {'MOVED', held[2] or '0-0'} end
local at = 5
for _ = 1, 4 do at = at + 1 + tonumber(ARGV[at]) end
if at ~= #ARGV + 1 then return redis.error_reply('ERR fold: the lists do not add up') end
at = 5
local function each(command, key)
  local n = tonumber(ARGV[at])
  local first = at + 1
  local last = at + n
  while first <= last do
    local stop = math.min(first + 999, last)
    redis.call(command, key, unpack(ARGV, first, stop))
    first = stop + 1
  end
  at = last + 1
end
each('HSET', KEYS[2])
each('ZREM', KEYS[3])
each('ZADD', KEYS[3])
each('HSET', KEYS[4])
redis.call('HSET', KEYS[1], 'cursor', ARGV[3], 'state', ARGV[4])
return {'OK'}
