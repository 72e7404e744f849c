-- Begin a run, or join the one under way. ARGV: run, request, region, message of the plan.
if is_active() then return {redis.call('HGET', key.run, 'run'), redis.call('HGET', key.run, 'request')} end
for name, part in pairs(key) do
  if name ~= 'regions' and name ~= 'active' then redis.call('DEL', part) end
end
redis.call('HSET', key.run, 'run', ARGV[1], 'request', ARGV[2], 'state', 'queued', 'round', '0')
redis.call('SADD', key.regions, ARGV[3])
redis.call('SADD', key.active, ARGV[3])
add_task('control', 'plan', ARGV[4])
return {ARGV[1], ARGV[2]}
