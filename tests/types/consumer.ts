/**
 * A team's program that installed @verbatim/client from its tarball, without @verbatim/api. `pnpm pack:check` type-checks
 * it there, libraries included; each `@ts-expect-error` is a call that must not compile. No test runs it.
 */
import { createClient } from '@verbatim/client'

type IsAny<TValue> = 0 extends 1 & TValue ? true : false

const verbatim = createClient({ url: 'http://127.0.0.1:8787' })

// `any` would let every line below compile.
export const typesAreThere: [IsAny<typeof verbatim>, IsAny<typeof verbatim.trpc>, IsAny<typeof verbatim.trpc.runs>] = [
  false,
  false,
  false,
]

export async function ask(): Promise<string> {
  const run = verbatim.chat('session-1').send('Explain async iteration')
  let answer = ''
  for await (const text of run.text) answer += text
  const message = await run.message
  return `${message.role}: ${answer}`
}

export async function mistakes(): Promise<void> {
  // @ts-expect-error -- a prompt is text or blocks
  verbatim.chat('session-1').send(42)
  // @ts-expect-error -- a session's id is a string
  verbatim.chat(7)
  // @ts-expect-error -- a client needs to know where
  createClient({})
  // @ts-expect-error -- a run is started with a session, a prompt and an id
  await verbatim.trpc.runs.start.mutate({ nothing: true })
  // @ts-expect-error -- there is no such procedure
  await verbatim.trpc.runs.explode.mutate({})
}
