import { afterEach } from 'vitest'
import { createClient } from '../create-client.ts'
import type { ClientOptions, VerbatimClient } from '../create-client.ts'

/** Short waits between attempts, so that tests of failures are quick. */
export const hurried = { baseDelayMs: 5, maxDelayMs: 20 }

const clients: VerbatimClient[] = []
afterEach(() => clients.splice(0).forEach((client) => client.close()))

/** A client of `server` that tries again quickly, and is closed after the test. */
export function connect({ url }: { readonly url: string }, options: Partial<ClientOptions> = {}): VerbatimClient {
  const client = createClient({ url, retry: hurried, ...options })
  clients.push(client)
  return client
}

/** All items. @param all receives them one by one, for a test that expects the iteration to throw. */
export async function collect<TItem>(items: AsyncIterable<TItem>, all: TItem[] = []): Promise<TItem[]> {
  for await (const item of items) all.push(item)
  return all
}
