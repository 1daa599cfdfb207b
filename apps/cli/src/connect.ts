import { createClient } from '@verbatim/client'
import type { VerbatimClient } from '@verbatim/client'
import type { Command } from 'commander'
import { defaultToken, defaultUrl } from './env.ts'

/** Options of every command. */
export interface ConnectOptions {
  readonly url: string
  readonly token?: string
}

export function withConnectOptions(command: Command): Command {
  return command
    .option('--url <url>', 'where the server is (or VERBATIM_URL)', defaultUrl)
    .option('--token <token>', 'bearer token (or VERBATIM_TOKEN, which others on the machine cannot see)')
}

export function connect({ url, token = defaultToken }: ConnectOptions): VerbatimClient {
  return createClient({ url, ...(token === undefined ? {} : { token: () => token }) })
}
