// @platformatic/kafka, a young client with new versions: node program.mjs BOOTSTRAP [CHECK].
import assert from 'node:assert/strict'
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import { FIRST_TIMESTAMP, bootstrap, check, end, unique } from './checks.mjs'

const admin = new Admin({ clientId: 'interop', bootstrapBrokers: [bootstrap] })

async function topic(name, partitions = 1) {
  const made = unique(`platformatic-${name}`)
  await admin.createTopics({ topics: [made], partitions, replicas: 1 })
  return made
}

async function produce(to, from, upto, settings = {}) {
  const producer = new Producer({ clientId: 'interop', bootstrapBrokers: [bootstrap], serializers: stringSerializers })
  const messages = Array.from({ length: upto - from }, (_, i) => ({
    topic: to, key: `k-${from + i}`, value: `v-${from + i}`, timestamp: BigInt(FIRST_TIMESTAMP + from + i), headers: { n: String(from + i) }
  }))
  await producer.send({ messages, ...settings })
  await producer.close()
}

async function read(group, topics, count, settings = {}) {
  const consumer = new Consumer({ clientId: 'interop', groupId: group, bootstrapBrokers: [bootstrap], deserializers: stringDeserializers,
    sessionTimeout: 10_000, heartbeatInterval: 500, ...settings })
  const stream = await consumer.consume({ topics, mode: MessagesStreamModes.COMMITTED, fallbackMode: 'earliest', autocommit: false, maxWaitTime: 200 })
  const got = []
  for await (const message of stream) {
    got.push(message)
    await message.commit()
    if (got.length >= count) break
  }
  await consumer.close(true)
  return got
}

async function codecs() {
  for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd']) {
    const name = await topic(compression)
    await produce(name, 0, 50, { compression })
    for (const message of await read(unique(`platformatic-${compression}`), [name], 50)) {
      const i = Number(message.offset)
      assert.deepEqual([message.key, message.value, message.timestamp, message.headers.get('n')],
        [`k-${i}`, `v-${i}`, BigInt(FIRST_TIMESTAMP + i), String(i)])
    }
  }
}

async function group(settings) {
  const name = await topic('group', 2)
  const id = unique('platformatic-group')
  await produce(name, 0, 40)
  await read(id, [name], 40, settings)
  await produce(name, 40, 60)
  const rest = await read(id, [name], 20, settings)
  assert.ok(rest.every(message => Number(message.value.slice(2)) >= 40))
}

async function topics() {
  const name = await topic('topics', 3)
  assert.ok((await admin.listTopics()).includes(name))
  await admin.deleteTopics({ topics: [name] })
  assert.ok(!(await admin.listTopics()).includes(name))
  assert.ok((await admin.listGroups()).size >= 0)
}

await check('every codec that this Node has, offsets, keys, headers, times', codecs)
await check('a group reads everything and goes on', () => group({}))
await check('a KIP-848 group reads everything and goes on', () => group({ groupProtocol: 'consumer' }))
await check('topics: create, list, delete; groups', topics)
end()
