import { createServer } from 'node:http'
import { createApi } from '@verbatim/api'
import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'

const factory = await SessionManagerFactory.connect({ uri: 'mongodb://localhost:27017', agents: [claude()] })
const api = createApi({
  engine: factory.engine,
  authenticate: (request) => (request.headers.get('authorization') === 'Bearer secret' ? { userId: 'ada' } : null),
})
createServer(api.nodeHandler).listen(8787)
