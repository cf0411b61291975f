-- Keeps an entry that cannot be read, under its own id, so that it is never kept twice.
-- KEYS: dead    ARGV: id, most entries kept, then pairs of field and value
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and kind ~= 'stream' then return {'WRONGTYPE', KEYS[1], kind} end
if #redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1) > 0 then return {'KEPT'} end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[1], unpack(ARGV, 3))
return {'OK'}
