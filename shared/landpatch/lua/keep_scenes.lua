-- The catalogue's answer. ARGV: run, scenes.
if not is_current() then return 0 end
redis.call('SET', key.scenes, ARGV[2])
return 1
