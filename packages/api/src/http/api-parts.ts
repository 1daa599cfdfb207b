import type { Principal } from '@verbatim/core'
import type { Logger, Engine } from '@verbatim/core/server'
import type { ApiOptions } from '../api-options.ts'
import type { ApiContext, ApiRequest } from '../context.ts'
import type { AppRouter } from '../create-router.ts'
import type { OpenStreams } from '../sse/open-streams.ts'

/** What the endpoints of one API share. */
export interface ApiParts {
  readonly engine: Engine
  readonly logger: Logger | undefined
  readonly options: ApiOptions
  readonly router: AppRouter<ApiContext>
  readonly streams: OpenStreams
  readonly identify: (request: ApiRequest) => Promise<Principal | null>
}
