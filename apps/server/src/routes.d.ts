import type { RequestListener } from 'node:http'
/** Sends the API's paths to the API and the rest to the web app; without tokens only for this machine's pages and programs. */
export declare function createRoutes({
  api,
  web,
  isLocalOnly,
  origins,
}: {
  api: RequestListener
  web: RequestListener
  isLocalOnly: boolean
  /** Of pages that may call besides the server's own. */
  origins?: readonly string[] | undefined
}): RequestListener
//# sourceMappingURL=routes.d.ts.map
