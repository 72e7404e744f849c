-- Take a task in hand. ARGV: run, kind, task, owner, seconds. Returns which attempt this is; 0 when there is
-- nothing to do: it is done, of an older run, or in other hands. Who has it already may take it again: then
-- the same message has been delivered again, since its worker was lost.
if not is_current() then return 0 end
local pending, member, ready = key['pending:' .. ARGV[2]], ARGV[2] .. ':' .. ARGV[3], now()
local due = redis.call('ZSCORE', pending, ARGV[3])
if not due then return 0 end
local count, owner = read_attempts(member)
if owner ~= '' and owner ~= ARGV[4] and tonumber(due) > ready then return 0 end
write_attempts(member, count + 1, ARGV[4])
redis.call('ZADD', pending, ready + ARGV[5], ARGV[3])
return tostring(count + 1)
