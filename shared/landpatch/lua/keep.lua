-- An observation is in the store. ARGV: run, patch and scene.
if not is_current() then return 0 end
return redis.call('SADD', key.kept, ARGV[2])
