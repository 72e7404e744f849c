-- A task has done its part: record all that came out, and make what follows pending when it was the last.
-- ARGV: run, kind, task, work, what follows, its message, then patch and outcome by turns. Returns 1 when it
-- was the last. The last of a kind is told once, by the step that empties the set. The messages of image tasks
-- stay: they tell which products a patch has been sent to.
if not is_current() then return 0 end
local kind, task = ARGV[2], ARGV[3]
local member = kind .. ':' .. task
record(kind, ARGV, 7)
local was_pending = redis.call('ZREM', key['pending:' .. kind], task)
if kind ~= 'images' then redis.call('HDEL', key.messages, member) end
redis.call('HDEL', key.attempts, member)
if was_pending == 0 then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', key.work, member, ARGV[4]) end
if ARGV[5] == '' or redis.call('ZCARD', key['pending:images']) > 0 then return 0 end
if kind == 'labels' and redis.call('ZCARD', key['pending:labels']) > 0 then return 0 end
add_task('control', ARGV[5], ARGV[6])
return 1
