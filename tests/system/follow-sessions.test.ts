/** `sessions.follow` on the wire: one stream for states of sessions and for runs, from any server. */
import { toCursor } from '@verbatim/core'
import type { FollowedUpdate } from '@verbatim/core'
import { query } from '@verbatim/test-kit/http'
import { expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { openApp } from '../support/app.ts'
import type { App } from '../support/app.ts'
import { openDatabase } from '../support/engine.ts'
import { startRun, waitOptions } from '../support/follow.ts'

/** The updates of one stream, as they come, and the stream's text. */
async function openStream(app: App, input: object, user = 'ada') {
  const leaving = new AbortController()
  const response = await app.fetch(query('sessions.follow', input), { user, signal: leaving.signal })
  const updates: FollowedUpdate[] = []
  let text = ''
  const read = async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk
      const frames = text.split('\n\n').filter((frame) => frame.trim().startsWith('data: '))
      updates.splice(0, updates.length, ...frames.map((frame) => JSON.parse(frame.trim().slice(6)) as FollowedUpdate))
    }
  }
  const ended = read().catch(() => {})
  return {
    updates,
    ended,
    text: () => text,
    [Symbol.asyncDispose]: async () => {
      leaving.abort()
      await ended
    },
  }
}

it('one stream brings the state of a session, the list and the batches of a run that another server makes', async () => {
  await using database = await openDatabase()
  const agent = manualAgent()
  await using writer = await openApp({ agents: [agent], database })
  await using reader = await openApp({ agents: [agent], database })
  const runId = await startRun(writer.engine)
  const runs = [{ runId }, { runId: crypto.randomUUID() }]
  await using stream = await openStream(reader, { sessionIds: ['session-1'], list: true, runs })
  const ofType = <TType extends FollowedUpdate['type']>(type: TType) =>
    stream.updates.filter((update): update is Extract<FollowedUpdate, { type: TType }> => update.type === type)
  await vi.waitFor(() => expect(ofType('session')).toMatchObject([{ session: { activeRunId: runId } }]), waitOptions)
  // The list is read beside the session.
  const listed = [{ sessions: [{ id: 'session-1', activeRunId: runId }] }]
  await vi.waitFor(() => expect(ofType('list')).toMatchObject(listed), waitOptions)
  agent.say('Hello')
  await vi.waitFor(() => expect(stream.text()).toContain('Hello'), waitOptions)
  agent.end()
  await vi.waitFor(
    () => expect(ofType('run_closed')).toContainEqual({ type: 'run_closed', runId, error: null }),
    waitOptions,
  )
  const batches = ofType('run_batch')
  const seqs = batches.flatMap(({ firstSeq, events }) => events.map((_, index) => firstSeq + index))
  expect(seqs).toEqual(Array.from(seqs, (_, index) => index + 1))
  expect(batches.at(-1)!.events.at(-1)).toMatchObject({ type: 'run_completed' })
  // A run that cannot be followed closes alone.
  await vi.waitFor(
    () =>
      expect(ofType('run_closed')).toContainEqual(
        expect.objectContaining({ runId: runs[1]!.runId, error: expect.objectContaining({ code: 'RUN_NOT_FOUND' }) }),
      ),
    waitOptions,
  )
  await using again = await openStream(reader, { runs: [{ runId, lastEventId: toCursor(runId, 2) }] })
  await vi.waitFor(() => expect(again.updates[0]).toMatchObject({ type: 'run_batch', firstSeq: 3 }), waitOptions)
})

it('a server that stops ends the stream early, so that its client comes back elsewhere', async () => {
  await using app = await openApp({ agents: [manualAgent()] })
  await using stream = await openStream(app, { list: true })
  await vi.waitFor(() => expect(stream.updates).toMatchObject([{ type: 'list', sessions: [] }]), waitOptions)
  await app.engine.drain({ graceMs: 0 })
  await stream.ended
  expect(stream.text()).not.toContain('event: return')
  expect(stream.text()).not.toContain('serialized-error')
  expect(stream.text().trimEnd().split('\n').at(-1)).toMatch(/^retry: \d+$/)
})

it('what no owner may ask for is refused in the stream', async () => {
  await using app = await openApp({ agents: [manualAgent()] })
  await using many = await openStream(app, { sessionIds: Array.from({ length: 33 }, (_, at) => `s-${at}`) })
  await many.ended
  expect(many.text()).toContain('INVALID_INPUT')
  await using foreign = await openStream(app, { runs: [{ runId: crypto.randomUUID(), lastEventId: 'nonsense' }] })
  await vi.waitFor(
    () => expect(foreign.updates.at(-1)).toMatchObject({ error: { code: 'INVALID_CURSOR' } }),
    waitOptions,
  )
})
