-- The one Redis Function of Headrace: applies operations to a view and moves its watermark, or does nothing.
--
-- KEYS[1]   hash "__headrace:VIEW":  log, definition, and per partition "EPOCH OFFSET CSN INDEX PARTIAL"
-- KEYS[1+i] key of operation i
-- ARGV      partition log definition epoch previous first  offset csn index partial   (10 values)
--           then per operation: offset csn index kind n, and n values
-- kind      h = hash (n/2 fields), s = string (1 value), d = delete;  "-" stands for no number
--
-- Answers   OK applied skipped | FAILED applied skipped operation reason | FENCED epoch | LOST offset
--           | MISMATCH log stored | MISMATCH definition stored
--
-- Numbers are compared as decimal text, because Lua's numbers lose digits above 2^53. Redis does not
-- roll a script back, so every data command goes through pcall; the first one that fails ends the call
-- with the watermark at the operation before it.

local FIELDS_PER_COMMAND = 1000     -- even; Lua's stack takes about 8,000 values

local function less(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function version_less(csn, index, other_csn, other_index)
  if csn ~= other_csn then return less(csn, other_csn) end
  return less(index, other_index)
end

local function run(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then return answer.err end
  return nil
end

local function put_hash(key, args, from, upto)
  local failure = run('DEL', key)
  while not failure and from <= upto do
    local last = math.min(from + FIELDS_PER_COMMAND - 1, upto)
    failure = run('HSET', key, unpack(args, from, last))
    from = last + 1
  end
  return failure
end

local function apply(keys, args)
  local watermark, partition = keys[1], args[1]
  local log, definition, epoch, previous, first = args[2], args[3], args[4], args[5], args[6]
  local stored = redis.call('HMGET', watermark, 'log', 'definition', partition)
  if stored[1] and stored[1] ~= log then return {'MISMATCH', 'log', stored[1]} end
  if stored[2] and stored[2] ~= definition then return {'MISMATCH', 'definition', stored[2]} end

  local at_epoch, at_offset, at_csn, at_index = '-', '-', '-', '-'
  if stored[3] then
    at_epoch, at_offset, at_csn, at_index = string.match(stored[3], '^(%S+) (%S+) (%S+) (%S+)')
    if less(epoch, at_epoch) then return {'FENCED', at_epoch} end
    if first == '0' and less(at_epoch, epoch) then return {'LOST', at_offset} end
    if previous ~= '-' and less(at_offset, previous) then return {'LOST', at_offset} end
  elseif first == '0' or previous ~= '-' then
    return {'LOST', '-'}
  end

  local function store(offset, csn, index, partial)
    if at_offset ~= '-' and not less(at_offset, offset) then
      offset, csn, index = at_offset, at_csn, at_index
    end
    if csn == '-' then csn, index = at_csn, at_index end
    local text = table.concat({epoch, offset, csn, index, partial}, ' ')
    redis.call('HSET', watermark, 'log', log, 'definition', definition, partition, text)
  end

  local applied, skipped, arg = 0, 0, 11
  local last_offset, last_csn, last_index = at_offset, at_csn, at_index
  for i = 2, #keys do
    local key, offset, csn, index, kind = keys[i], args[arg], args[arg + 1], args[arg + 2], args[arg + 3]
    local from = arg + 5
    local upto = from + tonumber(args[arg + 4]) - 1
    local old = at_offset ~= '-' and not less(at_offset, offset)
    if csn ~= '-' and at_csn ~= '-' and not version_less(at_csn, at_index, csn, index) then old = true end
    if old then
      skipped = skipped + 1
    else
      local failure
      if kind == 'h' then
        failure = put_hash(key, args, from, upto)
      elseif kind == 's' then
        failure = run('SET', key, args[from])
      elseif kind == 'd' then
        failure = run('DEL', key)
      else
        failure = 'unknown kind of operation: ' .. kind
      end
      if failure then
        if last_offset ~= '-' then store(last_offset, last_csn, last_index, '1') end
        return {'FAILED', applied, skipped, i - 2, failure}
      end
      applied = applied + 1
      last_offset = offset
      if csn ~= '-' then last_csn, last_index = csn, index end
    end
    arg = upto + 1
  end
  store(args[7], args[8], args[9], args[10])
  return {'OK', applied, skipped}
end

redis.register_function('FUNCTION_NAME', apply)
