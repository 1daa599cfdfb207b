import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { aiSdkEndpoints } from '@verbatim/ai-sdk/server'
import { createApi } from '@verbatim/api'
import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import { createServer as createVite } from 'vite'
import { mongo } from '../mongo.ts'

const factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude({ onCrash: 'continue' })] })
const authenticate = () => ({ userId: 'ada' }) // yours names the caller
const api = createApi({ engine: factory.engine, authenticate, endpoints: aiSdkEndpoints() })
const vite = await createVite({ root: import.meta.dirname, server: { middlewareMode: true, hmr: false } })

const server = createServer((request, response) => {
  if (request.url?.startsWith('/api/')) api.nodeHandler(request, response)
  else vite.middlewares(request, response)
})
server.listen(Number(process.env['PORT'] ?? 8788), '127.0.0.1', () =>
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
