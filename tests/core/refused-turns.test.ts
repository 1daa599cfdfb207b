/** A turn that a model refused stays out of what agents receive, whichever agent it is. */
import { continuationPrompt, textOf } from '@verbatim/core'
import type { Agent, Engine } from '@verbatim/core/server'
import { expect, it, vi } from 'vitest'
import { answerOf, manualAgent, messageEnd } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'

const sessionId = 'session-1'

/** Refuses as often as `refusals` says, in the middle of "I can", then answers "Yes". */
function pickyAgent(refusals: { left: number }, rest: Partial<Agent> = {}) {
  const requests: string[][] = []
  const windows: (boolean | undefined)[] = []
  const agent: Agent = {
    id: 'picky',
    ...rest,
    async *stream({ messages, hasOlder }) {
      requests.push(messages.map(({ content }) => textOf(content)))
      windows.push(hasOlder)
      if (refusals.left-- <= 0) yield* answerOf(['Yes'])
      else yield* [...answerOf(['I can']).slice(0, -2), ...messageEnd('refusal', 1)]
    },
  }
  return { agent, requests, windows }
}

async function endOf(engine: Engine, runId: string): Promise<string> {
  return answerFrom(await followAll(engine, runId)).status
}

async function retry(engine: Engine, runId: string): Promise<string> {
  const newRunId = crypto.randomUUID()
  await engine.runs.retry(ada, { runId, newRunId })
  return newRunId
}

it('no agent receives a refused turn with a later prompt, and what was appended after it stays', async () => {
  const { agent, requests, windows } = pickyAgent({ left: 1 })
  await using test = await openOne({ agents: [agent] })
  const { engine } = test
  expect(await endOf(engine, await startRun(engine, { message: 'Do harm' }))).toBe('refused')
  await engine.messages.append(ada, { sessionId, role: 'user', content: 'A note' })
  await engine.messages.append(ada, { sessionId, role: 'assistant', content: 'Noted' })
  expect(await endOf(engine, await startRun(engine, { message: 'Do good' }))).toBe('completed')
  await endOf(engine, await startRun(engine, { message: 'More' }))
  const kept = ['A note', 'Noted', 'Do good']
  expect(requests).toEqual([['Do harm'], kept, [...kept, 'Yes', 'More']])
  expect(windows).toEqual([false, false, false])
})

it('a retry of a refused run receives its prompt, and the last attempt decides whether the turn stays', async () => {
  const { agent, requests } = pickyAgent({ left: 3 })
  await using test = await openOne({ agents: [agent] })
  const { engine } = test
  const first = await startRun(engine, { message: 'Explain locks' })
  expect(await endOf(engine, first)).toBe('refused')
  const second = await retry(engine, first)
  expect(await endOf(engine, second)).toBe('refused')
  const third = await retry(engine, second)
  expect(await endOf(engine, third)).toBe('refused')
  const fourth = await retry(engine, third)
  expect(await endOf(engine, fourth)).toBe('completed')
  await endOf(engine, await startRun(engine, { message: 'Thanks' }))
  expect(requests).toEqual([...Array.from({ length: 4 }, () => ['Explain locks']), ['Explain locks', 'Yes', 'Thanks']])
})

it('a retried turn that is refused again stays out whole', async () => {
  const { agent, requests } = pickyAgent({ left: 2 })
  await using test = await openOne({ agents: [agent] })
  const { engine } = test
  const first = await startRun(engine, { message: 'Do harm' })
  await endOf(engine, first)
  await endOf(engine, await retry(engine, first))
  await endOf(engine, await startRun(engine, { message: 'Do good' }))
  expect(requests.at(-1)).toEqual(['Do good'])
})

it('a window that begins in the middle of a refused turn has nothing of it, and says that there is more', async () => {
  const { agent, requests, windows } = pickyAgent({ left: 1 }, { maxHistoryMessages: 2 })
  await using test = await openOne({ agents: [agent] })
  const { engine } = test
  await endOf(engine, await startRun(engine, { message: 'Do harm' }))
  await endOf(engine, await startRun(engine, { message: 'Do good' }))
  expect(requests.at(-1)).toEqual(['Do good'])
  expect(windows).toEqual([false, true])
})

it('an answer whose continuation is refused stays out whole, and the continuation can be retried', async () => {
  await using database = await openDatabase()
  const options = { ...shortLeases, recoveryMs: 30 }
  const speaker = manualAgent({ id: 'picky', onCrash: 'continue' })
  await using lost = openCrashableEngine(database, { agents: [speaker], options })
  const runId = await startRun(lost.engine, { message: 'Do harm' })
  speaker.say('Half')
  await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThanOrEqual(3), waitOptions)
  await lost.crash()
  const { agent, requests } = pickyAgent({ left: 2 }, { onCrash: 'continue' })
  await using engine = openEngine(database, { agents: [agent], options })
  const { continuedBy } = answerFrom(await followAll(engine, runId))
  expect(await endOf(engine, continuedBy ?? '')).toBe('refused')
  await endOf(engine, await retry(engine, continuedBy ?? ''))
  await endOf(engine, await startRun(engine, { message: 'Do good' }))
  const goingOn = ['Do harm', 'Half', continuationPrompt]
  expect(requests).toEqual([goingOn, goingOn, ['Do good']])
})
