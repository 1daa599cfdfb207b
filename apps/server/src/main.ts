/** The program of `npm start`. Node keeps the code that it has compiled, so that the next start need not; then the server is loaded. */
import { enableCompileCache } from 'node:module'

enableCompileCache()
await import('./run-server.ts')
