-- The run is over: keep what sums it up and its dead letters, forget the rest. ARGV: run, region, then field
-- and value by turns.
if not is_current() then return 0 end
redis.call(
  'HSET', key.run, 'images_done', redis.call('HLEN', key.images), 'labels_done', redis.call('HLEN', key.labels),
  unpack(ARGV, 3)
)
for name, part in pairs(key) do
  if name ~= 'run' and name ~= 'dead' and name ~= 'regions' and name ~= 'active' then redis.call('DEL', part) end
end
redis.call('SREM', key.active, ARGV[2])
return 1
