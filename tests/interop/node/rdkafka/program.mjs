// node-rdkafka, librdkafka through Node: node program.mjs BOOTSTRAP [CHECK].
import assert from 'node:assert/strict'
import rdkafka from 'node-rdkafka'
import { FIRST_TIMESTAMP, bootstrap, check, end, unique, until } from './checks.mjs'

const { AdminClient, KafkaConsumer, Producer } = rdkafka
const admin = AdminClient.create({ 'bootstrap.servers': bootstrap })
const asked = call => new Promise((resolve, reject) => call((failure, answer) => failure ? reject(failure) : resolve(answer)))

async function topic(name, num_partitions = 1, config = {}) {
  const made = unique(`node-rdkafka-${name}`)
  await asked(done => admin.createTopic({ topic: made, num_partitions, replication_factor: 1, config }, done))
  return made
}

async function produce(to, from, upto, partitions = 1, settings = {}) {
  const producer = new Producer({ 'bootstrap.servers': bootstrap, dr_cb: true, 'linger.ms': 5, ...settings })
  const reports = []
  producer.on('delivery-report', (failure, report) => reports.push(failure ?? report))
  await asked(done => producer.connect({}, done))
  producer.setPollInterval(20)
  for (let i = from; i < upto; i++) {
    producer.produce(to, i % partitions, Buffer.from(`v-${i}`), `k-${i}`, FIRST_TIMESTAMP + i, null, [{ n: String(i) }])
  }
  await until('every report', () => reports.length === upto - from)
  await asked(done => producer.disconnect(done))
  const failure = reports.find(report => report instanceof Error)
  if (failure) throw failure
}

async function read(group, topics, count, settings = {}) {
  const consumer = new KafkaConsumer({ 'bootstrap.servers': bootstrap, 'group.id': group, 'enable.auto.commit': false, 'fetch.wait.max.ms': 100,
    ...settings }, { 'auto.offset.reset': 'earliest' })
  const got = []
  consumer.on('data', message => got.push(message))
  await asked(done => consumer.connect({}, done))
  consumer.subscribe(topics)
  consumer.consume()
  await until(`${count} records`, () => got.length >= count)
  consumer.commitSync()
  await asked(done => consumer.disconnect(done))
  assert.equal(got.length, count)
  return got
}

async function codecs() {
  for (const codec of ['none', 'gzip', 'snappy', 'lz4']) {
    const name = await topic(codec)
    await produce(name, 0, 500, 1, { 'compression.codec': codec })
    for (const message of await read(unique(`node-rdkafka-${codec}`), [name], 500)) {
      const i = message.offset
      assert.deepEqual([String(message.key), String(message.value), message.timestamp, String(message.headers[0].n)],
        [`k-${i}`, `v-${i}`, FIRST_TIMESTAMP + i, String(i)])
    }
  }
}

async function group(settings) {
  const name = await topic('group', 3)
  const id = unique('node-rdkafka-group')
  await produce(name, 0, 300, 3)
  await read(id, [name], 300, settings)
  await produce(name, 300, 330, 3)
  await read(id, [name], 30, settings)
}

async function partitions() {
  const name = await topic('partitions')
  await asked(done => admin.createPartitions(name, 3, done))
}

async function deleteTopic() {
  const name = await topic('delete')
  await asked(done => admin.deleteTopic(name, done))
}

await check('codecs, offsets, keys, headers, times', codecs)
await check('an idempotent producer', async () => {
  const name = await topic('idempotent')
  await produce(name, 0, 500, 1, { 'enable.idempotence': true })
  await read(unique('node-rdkafka-idempotent'), [name], 500)
})
await check('a group reads everything and goes on', () => group({}))
await check('a KIP-848 group reads everything and goes on', () => group({ 'group.protocol': 'consumer' }))
await check('createPartitions', partitions)
await check('deleteTopic', deleteTopic)
end()
