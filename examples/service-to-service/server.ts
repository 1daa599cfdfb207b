import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApi } from '@verbatim/api'
import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// With `continue`, an answer whose server dies is finished by another one.
const factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude({ onCrash: 'continue' })] })
const api = createApi({
  engine: factory.engine,
  // Each service has a token, and is a user of its own: it sees its own sessions only.
  authenticate: ({ headers }) =>
    headers.get('authorization') === `Bearer ${process.env['SERVICE_TOKEN'] ?? 'service-secret'}`
      ? { userId: 'summary-worker' }
      : null,
})
const server = createServer(api.nodeHandler).listen(Number(process.env['PORT'] ?? 8788), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
