/** A prompt that takes the place of an earlier one. */
import { textOf, withoutReplaced } from '@verbatim/core'
import { scriptedAgent } from '@verbatim/core/testing'
import { expect, it } from 'vitest'
import { countDocuments } from '../support/app.ts'
import { openOne, shortLeases } from '../support/engine.ts'
import { ada, eve, followAll } from '../support/follow.ts'

const sessionId = 'session-1'
const uuid = () => crypto.randomUUID()

it('Models and readers receive the edited prompt in the place of its turn and of all after it, also from the queue and after a retry', async () => {
  const agent = scriptedAgent(['Yes'])
  await using test = await openOne({ agents: [agent], options: shortLeases })
  const { engine } = test
  const heard = () => agent.calls.at(-1)?.request.messages.map(({ content }) => textOf(content))
  const shown = async () => {
    const { items } = await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 100 })
    return withoutReplaced(items).map(({ content }) => textOf(content))
  }
  const ask = async (message: string, more: object = {}) => {
    const runId = uuid()
    await engine.runs.start(ada, { sessionId, runId, message, ...more })
    await followAll(engine, runId)
    return runId
  }
  await ask('zero')
  const first = await ask('one')
  await ask('two')
  const edit = await ask('uno', { editOf: first, whenBusy: 'queue' })
  expect(heard()).toEqual(['zero', 'Yes', 'uno'])
  expect(await shown()).toEqual(['zero', 'Yes', 'uno', 'Yes'])
  const retried = uuid()
  await engine.runs.retry(ada, { runId: edit, newRunId: retried })
  await followAll(engine, retried)
  expect(heard()).toEqual(['zero', 'Yes', 'uno'])
  await ask('three')
  const waits = await ask('eins', { editOf: edit, whenBusy: 'replace' })
  expect(heard()).toEqual(['zero', 'Yes', 'eins'])
  expect(await shown()).toEqual(['zero', 'Yes', 'eins', 'Yes'])
  // What was replaced is not replaced again.
  await ask('late', { editOf: first })
  expect(await shown()).toEqual(['zero', 'Yes', 'eins', 'Yes', 'late', 'Yes'])
  await engine.runs.start(ada, { sessionId, runId: waits, message: 'eins', editOf: edit })
  const other = engine.runs.start(ada, { sessionId, runId: waits, message: 'eins', editOf: first })
  await expect(other).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
})

it('Only a prompt of the same session is edited; anything else is refused, and nothing is stored', async () => {
  await using test = await openOne({ agents: [scriptedAgent(['Yes'])], options: shortLeases })
  const { engine, database } = test
  const [mine, elsewhere, hers, retried] = [uuid(), uuid(), uuid(), uuid()]
  await engine.runs.start(ada, { sessionId, runId: mine, message: 'one' })
  await engine.runs.start(ada, { sessionId: 'another', runId: elsewhere, message: 'one' })
  await engine.runs.start(eve, { sessionId, runId: hers, message: 'one' })
  for (const runId of [mine, elsewhere]) await followAll(engine, runId)
  await followAll(engine, hers, { owner: eve })
  await engine.runs.retry(ada, { runId: mine, newRunId: retried })
  await followAll(engine, retried)
  const before = await countDocuments(database)
  for (const editOf of [uuid(), elsewhere, hers, retried]) {
    const start = engine.runs.start(ada, { sessionId, runId: uuid(), message: 'two', editOf })
    await expect(start).rejects.toMatchObject({ code: 'RUN_NOT_FOUND', data: { field: 'editOf' } })
  }
  expect(await countDocuments(database)).toEqual(before)
})
