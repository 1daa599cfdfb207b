/** Claude's own summary of a session on MongoDB: what is stored of it, and what a lost process leaves. */
import { claude } from '@verbatim/core/claude'
import { callEnd, callStart, compacting, startProviderOf, textBlock } from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { expect, it, vi } from 'vitest'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun, waitOptions } from '../support/follow.ts'

const page = 'x'.repeat(20_000)

const yes: ProviderReply = (call) => {
  call.send(callStart({ input: call.tokens }), ...textBlock('Yes.'), ...callEnd())
  call.end()
}

it('a summary that is stored outlives its process, and the answer goes on from it', async () => {
  await using database = await openDatabase()
  let isSilent = false
  const answer: ProviderReply = (call) => (isSilent ? undefined : yes(call))
  await using provider = await startProviderOf(
    (call) => (call.body['compaction'] === undefined ? answer : compacting('They spoke of x.')),
    { tokensPerByte: 0.4 },
  )
  const newAgent = () =>
    claude({
      apiKey: 'k',
      baseURL: provider.url,
      maxRetries: 0,
      onCrash: 'continue',
      contextTokens: 60_000,
      maxTokens: 1_000,
    })
  const options = { ...shortLeases, recoveryMs: 30 }
  await using lost = openCrashableEngine(database, { agents: [newAgent()], options })
  const prompt = async () => await startRun(lost.engine, { sessionId: 's', message: page })
  for (let turn = 0; turn < 5; turn++) await followAll(lost.engine, await prompt())
  isSilent = true
  const before = lost.engine.stats().eventsCommitted
  const runId = await prompt()
  // The summary is in the log, and the model has not begun its answer.
  await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBe(before + 5), waitOptions)
  await lost.crash()
  isSilent = false
  await using taker = openEngine(database, { agents: [newAgent()], options })
  const first = answerFrom(await followAll(taker, runId))
  expect(first).toMatchObject({ status: 'interrupted', content: [{ type: 'compaction', coversSeq: 10 }] })
  const next = answerFrom(await followAll(taker, first.continuedBy ?? ''))
  expect(next.status).toBe('completed')
  const { items } = await taker.messages.list(ada, 's', { order: 'newest', limit: 4 })
  const [block] = items.flatMap(({ content }) => content.filter(({ type }) => type === 'compaction'))
  expect(block).toEqual(first.content[0])
  expect(provider.calls.at(-1)?.body.messages[0]?.content).toEqual([block && 'sent' in block ? block.sent : undefined])
  expect(provider.calls.filter(({ body }) => body['compaction'] !== undefined)).toHaveLength(1)
  expect(provider.complaints).toEqual([])
})
