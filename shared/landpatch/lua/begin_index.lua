-- All is cut; the index is next, once. ARGV: run, message of the index.
if not is_current() or redis.call('HGET', key.run, 'state') ~= 'cutting' then return 0 end
if redis.call('ZCARD', key['pending:images']) + redis.call('ZCARD', key['pending:labels']) > 0 then return 0 end
redis.call('HSET', key.run, 'state', 'indexing')
add_task('control', 'index', ARGV[2])
return 1
