-- Takes or renews the lease; each new leader gets a larger fencing token. Returns the token, or '0' while another leads.
-- KEYS: lease token    ARGV: owner ttl_ms now_ms
local owner, token = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
if owner == ARGV[1] and token then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return token
end
if owner and owner ~= ARGV[1] then return '0' end
local stored = tonumber(token or '0') or 0
token = string.format('%.0f', math.max(stored + 1, tonumber(ARGV[3])))
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
