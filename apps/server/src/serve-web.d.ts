import type { RequestListener } from 'node:http'
/** What the web app reads at `/config.json`. */
export interface WebConfig {
  readonly model: string
  readonly isDemo: boolean
  /** The command that switches to Claude; null when Claude answers already. */
  readonly switchCommand: string | null
  /** True when a caller needs a token, so that the page asks for one. */
  readonly needsToken: boolean
}
/** Serves the files of `folder` (none when it is not there), `/config.json`, and 404 for what is neither file nor page. */
export declare function createWebHandler(folder: string, config: WebConfig): Promise<RequestListener>
//# sourceMappingURL=serve-web.d.ts.map
