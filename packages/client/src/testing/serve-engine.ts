import { createApi } from '@verbatim/api'
import type { ApiInput } from '@verbatim/api'
import type { Engine } from '@verbatim/core/server'
import { serve } from '@verbatim/test-kit/http'
import type { Site } from '@verbatim/test-kit/http'

/** The real API over `engine` on a real socket; Ada calls. */
export async function serveEngine(engine: Engine, options: Partial<ApiInput> = {}): Promise<Site> {
  return await serve(createApi({ engine, authenticate: () => ({ userId: 'ada' }), reconnectMs: 5, ...options }))
}
