-- Put before every script. KEYS are the parts of one region, in the order of `ledger.PARTS`, and the two sets
-- of regions; ARGV[1] is the run that asks, so that an older run changes nothing.
local key = {}
for i, name in ipairs({
  'run', 'pending:images', 'pending:labels', 'pending:control', 'messages', 'attempts', 'dead', 'images',
  'labels', 'kept', 'work', 'scenes', 'regions', 'active',
}) do key[name] = KEYS[i] end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1e6
end

local function is_active()
  local state = redis.call('HGET', key.run, 'state')
  return state == 'queued' or state == 'planning' or state == 'cutting' or state == 'indexing'
end

local function is_current()
  return redis.call('HGET', key.run, 'run') == ARGV[1] and is_active()
end

-- How often a task has been begun (outages count a fraction), and by which message last; that is empty when nobody has it in hand.
local function read_attempts(member)
  local text = redis.call('HGET', key.attempts, member)
  if not text then return 0, '' end
  local count, owner = string.match(text, '^(%S+) (.*)$')
  return tonumber(count), owner
end

local function write_attempts(member, count, owner)
  redis.call('HSET', key.attempts, member, count .. ' ' .. owner)
end

-- Make a task pending; with 0 its message counts as not sent yet.
local function add_task(kind, task, message)
  redis.call('HSET', key.messages, kind .. ':' .. task, message)
  redis.call('ZADD', key['pending:' .. kind], 0, task)
end

-- Entries are patch and outcome by turns, from a place in the list on; as many at once as Lua's stack holds.
local function record(kind, entries, first)
  for i = first, #entries, 1000 do
    redis.call('HSET', key[kind], unpack(entries, i, math.min(i + 999, #entries)))
  end
end
