-- Still at it. ARGV: run, kind, task, owner, seconds. Returns 0 when the task is no longer the owner's.
if not is_current() then return 0 end
local pending = key['pending:' .. ARGV[2]]
local _, owner = read_attempts(ARGV[2] .. ':' .. ARGV[3])
if owner ~= ARGV[4] or not redis.call('ZSCORE', pending, ARGV[3]) then return 0 end
redis.call('ZADD', pending, now() + ARGV[5], ARGV[3])
return 1
