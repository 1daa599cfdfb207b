/** A prompt that its agent cannot answer is refused before anything is stored; what is stored already is not refused. */
import { VerbatimError } from '@verbatim/core'
import { expect, it } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import { countDocuments } from '../support/app.ts'
import { openOne } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun } from '../support/follow.ts'

/** An agent that takes prompts of up to `limit.bytes`, as JSON. */
function limitedAgent(bytes: number) {
  const limit = { bytes }
  return { limit, agent: manualAgent({ maxPromptBytes: () => limit.bytes }) }
}

const tooLarge = { code: 'MESSAGE_TOO_LARGE', data: { field: 'message' } }

it('a prompt over what its agent takes is refused by that number, and nothing is stored', async () => {
  const { agent } = limitedAgent(1_000)
  await using test = await openOne({ agents: [agent, manualAgent({ id: 'other' })] })
  const before = await countDocuments(test.database)
  for (const whenBusy of ['reject', 'queue', 'replace'] as const) {
    const input = { sessionId: 'session-1', runId: crypto.randomUUID(), message: 'x'.repeat(1_000), whenBusy }
    await expect(test.engine.runs.start(ada, input)).rejects.toMatchObject({
      ...tooLarge,
      data: { field: 'message', maxBytes: 1_000 },
    })
  }
  expect(await countDocuments(test.database)).toEqual(before)
  // As JSON the text is twice as long.
  await expect(startRun(test.engine, { message: '"'.repeat(600) })).rejects.toMatchObject(tooLarge)
  await startRun(test.engine, { message: 'x'.repeat(1_000), agentId: 'other' })
  await startRun(test.engine, { message: 'x'.repeat(900), sessionId: 'session-2' })
})

it('a start or a retry that is repeated receives its run, whatever the agent has learned since', async () => {
  const { agent, limit } = limitedAgent(1_000)
  await using test = await openOne({ agents: [agent] })
  const input = { sessionId: 'session-1', runId: crypto.randomUUID(), message: 'x'.repeat(500) }
  await test.engine.runs.start(ada, input)
  agent.fail(new VerbatimError('PROVIDER_ERROR'))
  expect(answerFrom(await followAll(test.engine, input.runId)).status).toBe('failed')
  const retrying = { runId: input.runId, newRunId: crypto.randomUUID() }
  await test.engine.runs.retry(ada, retrying)
  agent.fail(new VerbatimError('PROVIDER_ERROR'))
  await followAll(test.engine, retrying.newRunId)

  limit.bytes = 100
  expect(await test.engine.runs.start(ada, input)).toMatchObject({ id: input.runId, status: 'failed' })
  expect(await test.engine.runs.retry(ada, retrying)).toMatchObject({ id: retrying.newRunId, status: 'failed' })
  const before = await countDocuments(test.database)
  const another = { runId: retrying.newRunId, newRunId: crypto.randomUUID() }
  await expect(test.engine.runs.retry(ada, another)).rejects.toMatchObject(tooLarge)
  expect(await countDocuments(test.database)).toEqual(before)
})

it('the bytes of an image do not count against what its agent takes, and those of a text in a block do', async () => {
  const { agent } = limitedAgent(1_000)
  await using test = await openOne({ agents: [agent] })
  const data = 'A'.repeat(100_000)
  const image = { type: 'image' as const, source: { type: 'base64' as const, media_type: 'image/png' as const, data } }
  const input = { sessionId: 'session-1', runId: crypto.randomUUID() }
  const long = { type: 'text' as const, text: 'x'.repeat(1_000) }
  await expect(test.engine.runs.start(ada, { ...input, message: [image, long] })).rejects.toMatchObject(tooLarge)
  expect(await test.engine.runs.start(ada, { ...input, message: [image] })).toMatchObject({ status: 'running' })
})
