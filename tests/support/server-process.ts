/**
 * A server as a process of its own, for tests that kill it: the real engine behind the real API. Its leases are as long as
 * by default, so that a busy machine loses none; a test that wants an expired one sets it back.
 * Arguments: MongoDB URI, database name. Prints its URL, then serves until it is killed.
 */
import { createApi } from '@verbatim/api'
import { SessionManagerFactory } from '@verbatim/core/server'
import { scriptedAgent } from '@verbatim/core/testing'
import { serve } from '@verbatim/test-kit/http'

const [uri = '', databaseName = ''] = process.argv.slice(2)

/** Counts until it is stopped; slow enough to be killed in the middle. */
const counter = scriptedAgent(async function* () {
  for (let number = 1; ; number++) {
    yield `${number} `
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
})

const factory = await SessionManagerFactory.connect({
  uri,
  databaseName,
  agents: [counter],
  options: { recoveryMs: 100 },
})
const { url } = await serve(createApi({ engine: factory.engine, authenticate: () => ({ userId: 'ada' }) }))
process.stdout.write(`${url}\n`)
