-- Fields of the run. ARGV: run, then field and value by turns.
if not is_current() then return 0 end
redis.call('HSET', key.run, unpack(ARGV, 2))
return 1
