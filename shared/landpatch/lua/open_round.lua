-- Open a round if the one before it is the last: all of it, or nothing. ARGV: run, round before, round,
-- message by task, how many, then patch and outcome by turns of the images that are settled without a task.
if not is_current() then return 0 end
if redis.call('HGET', key.run, 'round') ~= ARGV[2] then return 0 end
if redis.call('HGET', key.run, 'state') == 'indexing' then return 0 end
redis.call('HSET', key.run, 'round', ARGV[3], 'state', 'cutting')
redis.call('HINCRBY', key.run, 'products', ARGV[5])
for task, message in pairs(cjson.decode(ARGV[4])) do add_task('images', task, message) end
record('images', ARGV, 6)
return 1
