-- Takes or renews the lease; each new leader gets a larger fencing token. Returns the token, or '0' while another leads.
-- KEYS: lease token    ARGV: owner ttl_ms now_ms
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return redis.call('GET', KEYS[2]) or '0'
end
if owner then return '0' end
local stored = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = string.format('%.0f', math.max(stored + 1, tonumber(ARGV[3])))
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
