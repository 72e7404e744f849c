-- Put a task off: it is due again in some seconds. ARGV: run, kind, task, owner, seconds, attempts to forgive.
-- Whose task it no longer is, puts nothing off; an empty owner asks for nobody's.
if not is_current() then return 0 end
local pending, member = key['pending:' .. ARGV[2]], ARGV[2] .. ':' .. ARGV[3]
local count, owner = read_attempts(member)
if owner ~= ARGV[4] or not redis.call('ZSCORE', pending, ARGV[3]) then return 0 end
if owner ~= '' then write_attempts(member, count - ARGV[6], '') end
redis.call('ZADD', pending, now() + ARGV[5], ARGV[3])
return 1
