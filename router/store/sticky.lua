-- Adds units to what a sticky run remembers, and reads those that others have added. None ever leaves, and the n-th has
-- the score n: so a reader's position is the number of units it has read.
-- KEYS: sticky    ARGV: most units, ms to live after the last call, position, page, then unit digests
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and kind ~= 'zset' then return {'WRONGTYPE', KEYS[1], kind} end
local most, life, position, page = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local held, refused = redis.call('ZCARD', KEYS[1]), 0
local count = held
for i = 5, #ARGV do
  if count < most then
    count = count + redis.call('ZADD', KEYS[1], 'NX', count + 1, ARGV[i])
  elseif not redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    refused = refused + 1
  end
end
-- Renewed when half of it is over: a call that only reads writes nothing.
if count > 0 and redis.call('PTTL', KEYS[1]) < life / 2 then redis.call('PEXPIRE', KEYS[1], life) end
return {'OK', held, refused, redis.call('ZRANGE', KEYS[1], position, position + page - 1)}
