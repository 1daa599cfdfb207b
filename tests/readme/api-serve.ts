import { createServer } from 'node:http'
import { createApi } from '@verbatim/api'

const api = createApi({
  engine, // of @verbatim/core/server
  authenticate: async ({ headers }) => await principalOf(headers.get('authorization')), // null: no user
})
createServer(api.nodeHandler).listen(8787) // or api.fetchHandler(request)

// What the reader has.
import type { Engine } from '@verbatim/core/server'
declare const engine: Engine
declare function principalOf(header: string | null): Promise<{ userId: string } | null>
