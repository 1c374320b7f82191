// kafkajs, frozen at the versions of 2023: node program.mjs BOOTSTRAP [CHECK].
import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'
import { FIRST_TIMESTAMP, bootstrap, check, end, unique, until } from './checks.mjs'

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs
const kafka = new Kafka({ clientId: 'interop', brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 8 } })
const admin = kafka.admin()

async function topic(name, numPartitions = 1, configEntries = []) {
  const made = unique(`kafkajs-${name}`)
  assert.ok(await admin.createTopics({ topics: [{ topic: made, numPartitions, replicationFactor: 1, configEntries }], waitForLeaders: true }))
  return made
}

const message = (i, partition) => ({
  key: `k-${i}`, value: `v-${i}`, timestamp: String(FIRST_TIMESTAMP + i), headers: { n: String(i) }, partition
})

async function produce(to, from, upto, partitions = 1, settings = {}, options = {}) {
  const producer = kafka.producer(settings)
  await producer.connect()
  const messages = Array.from({ length: upto - from }, (_, i) => message(from + i, (from + i) % partitions))
  const answer = await producer.send({ topic: to, messages, ...options })
  await producer.disconnect()
  return answer
}

// Reads `count` records with a group; gives them by value. `commit`: before it leaves.
async function read(group, topics, count, settings = {}) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 5000, maxWaitTimeInMs: 100, ...settings })
  const got = new Map()
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ topic, partition, message }) => { got.set(`${topic} ${message.value}`, { topic, partition, message }) } })
  await until(`${count} records`, () => got.size >= count)
  // what was read is committed when it leaves
  await consumer.disconnect()
  assert.equal(got.size, count)
  return [...got.values()]
}

async function codecs() {
  // snappy, lz4 and zstd are packages of others for this client
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const name = await topic('codec')
    const answer = await produce(name, 0, 500, 1, {}, { compression })
    assert.equal(answer[0].baseOffset, '0')
    for (const { message } of await read(unique('kafkajs-codec'), [name], 500)) {
      const i = Number(message.offset)
      assert.deepEqual([String(message.key), String(message.value), message.timestamp, String(message.headers.n)],
        [`k-${i}`, `v-${i}`, String(FIRST_TIMESTAMP + i), String(i)])
    }
  }
}

async function acks() {
  for (const acks of [0, 1, -1]) {
    const name = await topic('acks')
    await produce(name, 0, 50, 1, {}, { acks })
    await until('all are there', async () => (await admin.fetchTopicOffsets(name))[0].high === '50')
  }
}

async function idempotent() {
  const name = await topic('idempotent')
  await produce(name, 0, 200, 1, { idempotent: true, maxInFlightRequests: 1 })
  await read(unique('kafkajs-idempotent'), [name], 200)
}

async function autoCreation() {
  const name = unique('kafkajs-made-by-use')
  await produce(name, 0, 1, 1, { allowAutoTopicCreation: true })
  const { topics } = await admin.fetchTopicMetadata({ topics: [name] })
  assert.equal(topics[0].partitions.length, 4)
}

async function tooLarge() {
  const name = await topic('large', 1, [{ name: 'max.message.bytes', value: '10000' }])
  const producer = kafka.producer({ retry: { retries: 0 } })
  await producer.connect()
  await assert.rejects(producer.send({ topic: name, messages: [{ value: 'x'.repeat(50_000) }] }), { type: 'MESSAGE_TOO_LARGE' })
  await producer.disconnect()
}

async function group() {
  const name = await topic('group', 3)
  const id = unique('kafkajs-group')
  await produce(name, 0, 300, 3)
  await read(id, [name], 300)
  await produce(name, 300, 330, 3)
  const rest = await read(id, [name], 30)
  assert.ok(rest.every(({ message }) => Number(String(message.value).slice(2)) >= 300))
}

async function sharing() {
  const name = await topic('sharing', 4)
  const id = unique('kafkajs-sharing')
  const owned = [[], []]
  const consumers = owned.map((_, n) => {
    const consumer = kafka.consumer({ groupId: id, sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 5000 })
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { owned[n] = payload.memberAssignment[name] ?? [] })
    return consumer
  })
  for (const consumer of consumers) {
    await consumer.connect()
    await consumer.subscribe({ topics: [name] })
    await consumer.run({ eachMessage: async () => {} })
  }
  await until('two each', () => owned[0].length === 2 && owned[1].length === 2)
  await consumers[0].disconnect()
  await until('all four', () => owned[1].length === 4)
  await consumers[1].disconnect()
}

async function pattern() {
  const marker = unique('kafkajs-pattern')
  await admin.createTopics({ topics: [{ topic: `${marker}-one` }, { topic: `${marker}-two` }], waitForLeaders: true })
  await produce(`${marker}-one`, 0, 5)
  await produce(`${marker}-two`, 0, 5)
  await read(unique('kafkajs-pattern-group'), [new RegExp(`^${marker}-.*`)], 10)
}

async function seek() {
  const name = await topic('seek')
  await produce(name, 0, 100)
  const consumer = kafka.consumer({ groupId: unique('kafkajs-seek'), sessionTimeout: 6000, maxWaitTimeInMs: 100 })
  const got = []
  await consumer.connect()
  await consumer.subscribe({ topics: [name], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { got.push(Number(message.offset)) } })
  await until('all', () => got.length >= 100)
  got.length = 0
  consumer.seek({ topic: name, partition: 0, offset: '90' })
  await until('ten again', () => got.length >= 10)
  assert.equal(got[0], 90)
  await consumer.disconnect()
}

async function topics() {
  const name = await topic('topics', 3)
  assert.ok((await admin.listTopics()).includes(name))
  const { topics } = await admin.fetchTopicMetadata({ topics: [name] })
  assert.equal(topics[0].partitions.length, 3)
  assert.equal(await admin.createTopics({ topics: [{ topic: name }] }), false)
  await admin.deleteTopics({ topics: [name] })
  assert.ok(!(await admin.listTopics()).includes(name))
  const cluster = await admin.describeCluster()
  assert.equal(cluster.brokers.length, 1)
  assert.equal(cluster.controller, cluster.brokers[0].nodeId)
}

async function partitions() {
  const name = await topic('partitions')
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 3 }] })
  await until('three', async () => (await admin.fetchTopicMetadata({ topics: [name] })).topics[0].partitions.length === 3)
}

const setting = async (name, key) => {
  const { resources } = await admin.describeConfigs({ includeSynonyms: true, resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: [key] }] })
  return resources[0].configEntries[0].configValue
}

async function configs() {
  const name = await topic('configs', 1, [{ name: 'retention.ms', value: '1000000' }])
  assert.equal(await setting(name, 'retention.ms'), '1000000')
}

async function alterConfigs() {
  const name = await topic('alter', 1, [{ name: 'max.message.bytes', value: '10000' }])
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name, configEntries: [{ name: 'retention.ms', value: '2000000' }] }] })
  await until('set', async () => await setting(name, 'retention.ms') === '2000000')
  assert.notEqual(await setting(name, 'max.message.bytes'), '10000')
}

async function offsets() {
  const name = await topic('offsets')
  await produce(name, 0, 50)
  const [found] = await admin.fetchTopicOffsets(name)
  assert.deepEqual([found.low, found.high], ['0', '50'])
  const [byTime] = await admin.fetchTopicOffsetsByTimestamp(name, FIRST_TIMESTAMP + 7)
  assert.equal(byTime.offset, '7')
}

async function deleteRecords() {
  const name = await topic('records')
  await produce(name, 0, 50)
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '20' }] })
  assert.equal((await admin.fetchTopicOffsets(name))[0].low, '20')
}

async function groups() {
  const name = await topic('groups')
  const id = unique('kafkajs-groups')
  await produce(name, 0, 10)
  await read(id, [name], 10)
  assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === id))
  const { groups } = await admin.describeGroups([id])
  assert.equal(groups[0].state, 'Empty')
  const [fetched] = await admin.fetchOffsets({ groupId: id, topics: [name] })
  assert.equal(fetched.partitions[0].offset, '10')
  await admin.setOffsets({ groupId: id, topic: name, partitions: [{ partition: 0, offset: '3' }] })
  assert.equal((await admin.fetchOffsets({ groupId: id, topics: [name] }))[0].partitions[0].offset, '3')
  await admin.resetOffsets({ groupId: id, topic: name, earliest: true })
}

async function deleteGroups() {
  const name = await topic('delete-groups')
  const id = unique('kafkajs-delete-groups')
  await produce(name, 0, 10)
  await read(id, [name], 10)
  await admin.deleteGroups([id])
  assert.ok(!(await admin.listGroups()).groups.some(({ groupId }) => groupId === id))
}

await admin.connect()
await check('no compression and gzip, offsets, keys, headers, times', codecs)
await check('acks 0, 1, all', acks)
await check('an idempotent producer', idempotent)
await check('auto-creation by the first record', autoCreation)
await check('a record above max.message.bytes is refused', tooLarge)
await check('a group reads everything and goes on', group)
await check('two members share the partitions, one leaves', sharing)
await check('a pattern', pattern)
await check('seek', seek)
await check('topics: create, list, metadata, delete; the cluster', topics)
await check('createPartitions', partitions)
await check('describeConfigs', configs)
await check('alterConfigs replaces', alterConfigs)
await check('offsets of topics, by time', offsets)
await check('deleteTopicRecords', deleteRecords)
await check('groups: list, describe, offsets, reset', groups)
await check('deleteGroups', deleteGroups)
end()
