-- A task that is given up. ARGV: run, kind and task, what is to be known of it.
if not is_current() then return 0 end
redis.call('HSET', key.dead, ARGV[2], ARGV[3])
return 1
