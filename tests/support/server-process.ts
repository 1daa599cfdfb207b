/**
 * A server as a process of its own, for tests that kill it: the real engine behind the real API. Its leases are as long as
 * by default, so that a busy machine loses none; a test that wants an expired one sets it back.
 * Arguments: MongoDB URI, database name. Prints its URL, then serves until it is killed.
 */
import { createApi } from '@verbatim/api'
import type { AgentEvent } from '@verbatim/core'
import { SessionManagerFactory, type Agent } from '@verbatim/core/server'
import { serve } from '@verbatim/test-kit/http'

const [uri = '', databaseName = ''] = process.argv.slice(2)

/** Counts for as long as it is let; slow enough to be killed in the middle. */
const counter: Agent = {
  id: 'counter',
  async *stream(_request, signal): AsyncGenerator<AgentEvent> {
    yield { type: 'message_start', message: { model: 'counter-1', usage: {} } }
    yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
    for (let number = 1; !signal.aborted; number++) {
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: `${number} ` } }
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  },
}

const factory = await SessionManagerFactory.connect({
  uri,
  databaseName,
  agents: [counter],
  options: { recoveryMs: 100 },
})
const { url } = await serve(createApi({ engine: factory.engine, authenticate: () => ({ userId: 'ada' }) }))
process.stdout.write(`${url}\n`)
