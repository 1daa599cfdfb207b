/** The lines that docs/operations.md shows for the MongoDB shell, run as they stand there. */
import { readFileSync } from 'node:fs'
import { compileFunction } from 'node:vm'
import { agent } from '@verbatim/core/server'
import type { AggregationCursor, Document, FindCursor } from 'mongodb'
import { expect, it } from 'vitest'
import { openOne } from '../support/engine.ts'
import { ada, followAll, startRun } from '../support/follow.ts'

const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
const [, section = ''] = operations.split('### The metrics of a session, in the MongoDB shell')
const [, code = ''] = /```js\n(.*?)```/s.exec(section) ?? []
const [findSession = '', newestAnswer = '', usage = ''] = code.split('\n\n')

type Cursor = FindCursor<Document> | AggregationCursor<Document>

/** The stages of a plan, each by its name. */
function stagesOf(plan: unknown): string[] {
  if (typeof plan !== 'object' || plan === null) return []
  const own = 'stage' in plan && typeof plan.stage === 'string' ? [plan.stage] : []
  return [...own, ...Object.values(plan).flatMap(stagesOf)]
}

async function explain(cursor: Cursor) {
  const explained: Document = await cursor.explain('executionStats')
  const stats: Document = explained['executionStats'] ?? explained['stages'][0].$cursor.executionStats
  return { stages: stagesOf(explained), examined: Number(stats['totalDocsExamined']) }
}

it('The lines for the MongoDB shell find the metrics of one session, each by an index', async () => {
  const own = agent({
    id: 'own',
    async *stream() {
      yield 'Hello'
      yield {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { input_tokens: 5, output_tokens: 7 },
      }
    },
  })
  await using test = await openOne({ agents: [own] })
  for (const sessionId of ['session-0', 'session-1', 'session-1', 'session-2']) {
    await followAll(test.engine, await startRun(test.engine, { sessionId }))
  }
  const db = test.database.client.db(test.database.databaseName)
  const shell = { sessions: db.collection('sessions'), messages: db.collection('messages') }
  const evaluate = <TResult>(line: string, session?: Document | null) =>
    compileFunction(`return (\n${line}\n)`, ['db', 'session'])(shell, session) as TResult
  const lookup = findSession.replace('const session = ', '')
  const session = await evaluate<Promise<Document | null>>(lookup)
  expect(session).toMatchObject({ id: 'session-1', ownerId: ada.ownerId })
  const newest = evaluate<Cursor>(newestAnswer, session)
  expect(await newest.clone().toArray()).toEqual([
    expect.objectContaining({
      agentId: 'own',
      status: 'completed',
      metrics: expect.objectContaining({ outputTokens: 7 }),
    }),
  ])
  const used = evaluate<Cursor>(usage, session)
  expect(await used.clone().toArray()).toMatchObject([{ _id: 'own', answers: 2, inputTokens: 10, outputTokens: 14 }])
  const plans = await Promise.all([evaluate<Cursor>(lookup.replace('findOne', 'find')), newest, used].map(explain))
  for (const { stages } of plans) {
    expect(stages).toContain('IXSCAN')
    expect(stages).not.toContain('COLLSCAN')
    expect(stages).not.toContain('SORT')
  }
  // One session; the newest answer of its four messages; all four.
  expect(plans.map(({ examined }) => examined)).toEqual([1, 1, 4])
})
