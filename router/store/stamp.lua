-- A leader stamps a partition with its token before its first fold, so that an older leader can no longer commit.
-- KEYS: cursor    ARGV: token
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and kind ~= 'hash' then return {'WRONGTYPE', KEYS[1], kind} end
local held = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if held > tonumber(ARGV[1]) then return {'FENCED', tostring(held)} end
redis.call('HSET', KEYS[1], 'token', ARGV[1])
return {'OK'}
