// What the Node programs share: a line per check (`ok NAME` or `FAILED NAME :: why`), waiting, comparing.
import assert from 'node:assert/strict'

export const bootstrap = process.argv[2]
const only = process.argv[3] ?? ''
// A check that waits longer has failed.
export const MS_MAX = 60_000
// Names of this run: the checks may be run again on the same broker.
const run = Date.now().toString(36)
// The timestamp of record 0: not long ago, since records older than retention.ms are removed.
export const FIRST_TIMESTAMP = Date.now() - 3_600_000

let made = 0
let failed = false

export const unique = name => `${name}-${run}-${made++}`

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export async function check(name, action) {
  if (!name.includes(only)) return
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not within ${3 * MS_MAX} ms`)), 3 * MS_MAX) })
  try {
    await Promise.race([action(), late])
    console.log(`ok ${name}`)
  } catch (failure) {
    failed = true
    console.log(`FAILED ${name} :: ${String(failure?.message ?? failure).replaceAll(/\s+/g, ' ')}`)
    console.log(failure?.stack, JSON.stringify(failure?.errors ?? failure?.partitions ?? ""))
  } finally {
    clearTimeout(timer)
  }
}

export async function until(what, condition) {
  const end = Date.now() + MS_MAX
  while (!(await condition())) {
    assert.ok(Date.now() < end, `not within ${MS_MAX} ms: ${what}`)
    await sleep(100)
  }
}

// Clients that hang are not waited for.
export const end = () => process.exit(failed ? 1 : 0)
