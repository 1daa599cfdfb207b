/** Bodies that cost a careless server most, all of the size that is allowed. */
import { randomInt } from 'node:crypto'
import { createApi } from '@verbatim/api'
import { maxPromptBytes, StartRunInput } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { hostileCalls, plainCalls } from '@verbatim/test-kit/hostile'
import type { HostileCall } from '@verbatim/test-kit/hostile'
import { flood } from './attack.ts'
import type { Attack } from './attack.ts'
import { mutation } from './calls.ts'

const maxBodyBytes = 1024 * 1024
const concurrency = 4

/** Of every procedure and endpoint, single and in batches. */
function worstCalls(): HostileCall[] {
  const { router } = createApi({ engine: {} as Engine, authenticate: () => null })
  const chatInput = StartRunInput.omit({ runId: true })
  const sizes = { maxBodyBytes }
  return [
    // It has no body, and one that is accepted lasts.
    ...[...hostileCalls(router, sizes)].filter(({ target }) => target !== 'sessions.follow'),
    ...plainCalls('/chat/stream', chatInput, sizes),
    ...plainCalls('/chat/sse', chatInput, sizes),
  ]
}

const many = Array.from({ length: maxPromptBytes / 2 - 1_000 }, () => 1)
const numbers = Array.from({ length: 30_000 }, (_, at) => at * 1_000_003)

/** Valid, and nearly half a megabyte: what a model may well write. */
const toolInputs: readonly unknown[] = [
  { numbers },
  Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`a-key-of-some-length-${at}`, at])),
  { text: '"'.repeat(240_000) },
  Array.from({ length: 500 }, () => nested(40)),
]

function nested(depth: number): unknown {
  return depth === 0 ? 'x' : { inner: nested(depth - 1) }
}

export const bodyAttacks: readonly Attack[] = [
  {
    name: 'worst bodies',
    times: 6,
    async run(target) {
      const calls = worstCalls()
      // A prime step comes to every call, and mixes the procedures.
      const from = randomInt(calls.length)
      await flood(target, concurrency, (nth) => {
        const call = calls[(from + nth * 7_919) % calls.length]
        if (call === undefined) throw new Error('The router has procedures')
        const { path, init } = call.make()
        const method = init.method === 'GET' ? 'GET' : 'POST'
        return { name: call.name, path, method, body: typeof init.body === 'string' ? init.body : undefined }
      })
    },
  },
  {
    name: 'content of numbers',
    async run(target) {
      const body = JSON.stringify({ sessionId: `numbers-${target.phase}`, role: 'user', content: many })
      await flood(target, concurrency, () => ({ path: '/trpc/messages.append', method: 'POST', body }))
    },
  },
  {
    name: 'large tool inputs',
    async run(target) {
      const bodies = toolInputs.map((input) => [{ type: 'tool_use' as const, id: 'call_0', name: 'tool', input }])
      await flood(target, concurrency, (nth) =>
        mutation('messages.append', {
          sessionId: `tools-${target.phase}-${nth % 8}`,
          role: 'assistant',
          content: bodies[nth % bodies.length],
        }),
      )
    },
  },
  {
    name: 'prompts of 512 KiB',
    async run(target) {
      const message = 'word '.repeat(maxPromptBytes / 5)
      await flood(target, concurrency, (nth) => {
        const sessionId = `long-${target.phase}-${nth}`
        return mutation('runs.start', { runId: crypto.randomUUID(), sessionId, message })
      })
    },
  },
]
