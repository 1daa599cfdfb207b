/** Calls that are right one by one, and too many. */
import { callOnce, flood } from './attack.ts'
import type { Attack, AttackTarget } from './attack.ts'
import { mutation, open, query } from './calls.ts'
import { fullSessionId } from './server-config.ts'

function start(sessionId: string, more: object = {}) {
  return mutation('runs.start', { runId: crypto.randomUUID(), sessionId, message: 'Talk', ...more })
}

/** Reads `call`'s stream for as long as it lasts. */
async function follow({ port, user, signal, tally }: AttackTarget, runId: string): Promise<void> {
  try {
    const stream = await open(port, { ...query('runs.follow', { runId }), user, signal })
    let text = ''
    for await (const piece of stream.setEncoding('utf8')) text = `${text}${String(piece)}`.slice(-2_000)
    tally.add(/"verbatim":\{"code":"([A-Z_]+)"/.exec(text)?.[1] ?? 'ended')
  } catch {
    if (!signal.aborted) tally.add('cut')
  }
}

export const floodAttacks: readonly Attack[] = [
  {
    name: 'starts',
    run: async (target) => await flood(target, 32, (nth) => start(`start-${target.phase}-${nth}`)),
  },
  {
    name: 'runs that never end',
    run: async (target) =>
      await flood(target, 16, (nth) => start(`silent-${target.phase}-${nth}`, { agentId: 'silent' })),
  },
  {
    name: 'new sessions',
    run: async (target) =>
      await flood(target, 32, (nth) => mutation('sessions.create', { sessionId: `new-${target.phase}-${nth}` })),
  },
  {
    name: 'deletions',
    run: async (target) =>
      await flood(target, 16, (nth) => {
        const sessionId = `gone-${target.phase}-${Math.floor(nth / 2)}`
        return nth % 2 === 0 ? mutation('sessions.create', { sessionId }) : mutation('sessions.delete', { sessionId })
      }),
  },
  {
    name: 'follows of unknown runs',
    async run(target) {
      const follower = async (): Promise<void> => {
        while (!target.signal.aborted) await follow(target, crypto.randomUUID())
      }
      await Promise.all(Array.from({ length: 1_000 }, follower))
    },
  },
  {
    name: 'cancels and retries',
    async run(target) {
      const runId = crypto.randomUUID()
      const sessionId = `again-${target.phase}`
      await callOnce(target, start(sessionId, { runId }))
      await flood(target, 32, (nth) => {
        if (nth % 3 === 0) return mutation('runs.cancel', { runId: nth % 2 === 0 ? runId : crypto.randomUUID() })
        if (nth % 3 === 1) return mutation('runs.retry', { runId, newRunId: crypto.randomUUID() })
        return start(sessionId)
      })
    },
  },
  {
    name: 'one session, 16 clients',
    async run(target) {
      const sessionId = `shared-${target.phase}`
      const busy = ['reject', 'queue', 'replace']
      await flood(target, 16, (nth) => {
        if (nth % 4 === 3) return mutation('messages.append', { sessionId, role: 'user', content: 'A word' })
        return start(sessionId, { whenBusy: busy[nth % 4] })
      })
    },
  },
  {
    name: 'batches of big lists',
    readsFullSession: true,
    async run(target) {
      const input = { sessionId: fullSessionId, order: 'newest', limit: 100 }
      const inputs = JSON.stringify(Object.fromEntries(Array.from({ length: 20 }, (_, at) => [at, input])))
      const names = Array.from({ length: 20 }, () => 'messages.list').join(',')
      const path = `/trpc/${names}?batch=1&input=${encodeURIComponent(inputs)}`
      await flood(target, 8, () => ({ path }))
    },
  },
  {
    name: 'wrong credentials',
    run: async (target) =>
      await flood(target, 32, (nth) => ({ ...query('sessions.list', {}), user: nth % 2 === 0 ? 'a.b' : undefined })),
  },
  {
    name: 'ids of others',
    run: async (target) =>
      await flood(target, 32, (nth) => query('sessions.get', { sessionId: `other-${target.phase}-${nth}` })),
  },
]
