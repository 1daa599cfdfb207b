/** Queued prompts and a lost answer that is continued: the answer is one turn, and no prompt gets in between its parts. */
import { continuationPrompt, textOf } from '@verbatim/core'
import { expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

const options = { ...shortLeases, recoveryMs: 30 }

/** A run that is lost after a few words, and a second prompt that was sent after it. */
async function loseWithOneWaiting(whenBusy: 'queue' | 'replace') {
  const database = await openDatabase()
  const speaker = manualAgent({ id: 'hand', onCrash: 'continue' })
  // It learns nothing and renews nothing by itself, so that it does not stop before it is lost.
  const deaf = {
    heartbeatMs: 200_000,
    selfFenceMs: 400_000,
    leaseMs: 600_000,
    recoveryMs: 600_000,
    cancelPollMs: 600_000,
  }
  await using lost = openCrashableEngine(database, { agents: [speaker], options: deaf })
  const runId = await startRun(lost.engine, { message: 'First' })
  speaker.say('One, two, ')
  await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
  const second = crypto.randomUUID()
  const asker = openEngine(database, { agents: [speaker], options: { ...options, recoveryMs: 600_000 } })
  await asker.runs.start(ada, { sessionId: 'session-1', runId: second, message: 'Second', whenBusy })
  await asker.close()
  await lost.crash()
  return { database, runId, second }
}

it('a queued prompt is asked after the whole answer, not between its parts', async () => {
  const { database, runId, second } = await loseWithOneWaiting('queue')
  const agent = pacedAgent(answerOf(['the rest']), { id: 'hand', onCrash: 'continue' })
  await using engine = openEngine(database, { agents: [agent], options })
  const { continuedBy } = answerFrom(await followAll(engine, runId))
  expect(answerFrom(await followAll(engine, continuedBy ?? '')).status).toBe('completed')
  expect(answerFrom(await followAll(engine, second)).status).toBe('completed')
  const { items } = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  expect(items.map(({ content }) => textOf(content))).toEqual([
    'First',
    'One, two, ',
    continuationPrompt,
    'the rest',
    'Second',
    'the rest',
  ])
  expect(items.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6])
  await engine.close()
  await database[Symbol.asyncDispose]()
})

it('a prompt that replaces a lost answer is asked at once, and nothing continues the answer', async () => {
  const { database, runId, second } = await loseWithOneWaiting('replace')
  const agent = pacedAgent(answerOf(['an answer']), { id: 'hand', onCrash: 'continue' })
  await using engine = openEngine(database, { agents: [agent], options })
  expect(answerFrom(await followAll(engine, runId))).toMatchObject({ status: 'cancelled', continuedBy: null })
  expect(answerFrom(await followAll(engine, second)).status).toBe('completed')
  const { items } = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  expect(items.map(({ content }) => textOf(content))).toEqual(['First', 'One, two, ', 'Second', 'an answer'])
  await engine.close()
  await database[Symbol.asyncDispose]()
})
