/**
 * A server as a process of its own, for tests that kill it: the real engine behind the real API. Its leases are as long as
 * by default, so that a busy machine loses none; a test that wants one lapsed sets it back.
 * Arguments: MongoDB URI, database name. Prints its port, then serves until it is killed.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApi } from '@verbatim/api'
import type { AgentEvent } from '@verbatim/core'
import { SessionManagerFactory, type Agent } from '@verbatim/core/server'

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
const api = createApi({ engine: factory.engine, authenticate: () => ({ userId: 'ada' }) })
const server = createServer(api.nodeHandler)
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo // a TCP server's address is never a string
  process.stdout.write(`${port}\n`)
})
