-- Take over the sending of tasks that nobody cares for: for a while they are not overdue. Those named, or all
-- that have never been sent. ARGV: run, seconds, kind, then tasks. Returns task and message by turns.
if not is_current() then return {} end
local pending, ready, claimed = key['pending:' .. ARGV[3]], now(), {}
local tasks = {unpack(ARGV, 4)}
if #tasks == 0 then tasks = redis.call('ZRANGEBYSCORE', pending, 0, 0) end
for _, task in ipairs(tasks) do
  local due, member = redis.call('ZSCORE', pending, task), ARGV[3] .. ':' .. task
  if due and tonumber(due) <= ready then
    redis.call('ZADD', pending, ready + ARGV[2], task)
    local count, owner = read_attempts(member)
    if owner ~= '' then write_attempts(member, count, '') end
    claimed[#claimed + 1] = task
    claimed[#claimed + 1] = redis.call('HGET', key.messages, member)
  end
end
return claimed
