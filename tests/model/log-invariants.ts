/** What must hold after every command, compared with the model through the ports. */
import { isTerminalEvent, textOf } from '@verbatim/core'
import { expect } from 'vitest'
import { isEnded } from './log-model.ts'
import type { Model, ModelRun, ModelSession } from './log-model.ts'
import { owner, readPages } from './log-world.ts'
import type { World } from './log-world.ts'

/** Looks at the runs that a command was about, and at their sessions; at everything when none is named. */
export async function expectSame(world: World, model: Model, about: readonly ModelRun[] = model.runs): Promise<void> {
  const sessions = new Set(about.map((run) => run.session))
  await Promise.all([
    ...about.map(async (run) => await expectLog(world, model, run)),
    ...[...sessions].map(async (session) => await expectSession(world, model, session)),
  ])
}

async function expectLog(world: World, model: Model, run: ModelRun): Promise<void> {
  expect(await readPages(world, run.key, { after: 0, maxBatches: 1_000 })).toEqual(run.log)
  // One more cursor, another each time: with all the commands there are, every place is looked at.
  const after = model.now % (run.log.length + 1)
  const maxBatches = 1 + (model.now % 3)
  expect(await readPages(world, run.key, { after, maxBatches })).toEqual(run.log.slice(after))
  // The model's own log is checked too: a model that is wrong in the same way as the code finds nothing.
  expect(run.log.filter(isTerminalEvent)).toHaveLength(isEnded(run) ? 1 : 0)
  if (isEnded(run)) expect(run.log.at(-1)).toSatisfy(isTerminalEvent)
}

async function expectSession({ storage }: World, model: Model, session: ModelSession): Promise<void> {
  const { sessionRepository, runRepository } = storage
  const [stored, messages, runs] = await Promise.all([
    sessionRepository.getSession(owner, session.id),
    sessionRepository.listMessages(owner, session.id, { limit: 100, order: 'oldest' }),
    runRepository.listRuns(owner, session.id, { limit: 100 }),
  ])
  expect(stored?.activeRunId).toBe(session.active?.id ?? null)
  expect(stored?.messageCount).toBe(session.messages.length)
  expect(
    messages.items.map(({ seq, id, role, status, runId, content }) => {
      return { seq, id, role, status, runId, text: textOf(content) }
    }),
  ).toEqual(session.messages.map((message, at) => ({ seq: at + 1, ...message })))

  const known = model.runs.filter((run) => run.session === session)
  expect(
    new Map(runs.items.map(({ id, status, lastSeq, continuedBy }) => [id, { status, lastSeq, continuedBy }])),
  ).toEqual(
    new Map(
      known.map((run) => {
        const { id, status, continuedBy } = run
        return [id, { status, lastSeq: isEnded(run) ? run.log.length : null, continuedBy }]
      }),
    ),
  )
  const running = runs.items.filter((run) => run.status === 'running')
  expect(running.length).toBeLessThanOrEqual(1)
  // Idle exactly when no run runs or waits, and an answer for each end that is not one of the queue.
  expect(stored?.activeRunId === null).toBe(known.every(isEnded))
  const answers = messages.items.filter((message) => message.role === 'assistant')
  const answered = known.filter((run) => run.stored !== undefined)
  expect(answers).toHaveLength(answered.length)
  expect(new Set(answers.map((message) => message.runId))).toEqual(new Set(answered.map((run) => run.id)))
}
