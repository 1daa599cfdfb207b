/** Sessions with prompts that wait: agents that answer what they were asked, and what every history must look like. */
import { isTerminalStatus, textOf } from '@verbatim/core'
import type { Message, Run, WhenBusy } from '@verbatim/core'
import type { Agent, Engine, EngineOptionsInput, EnginePorts } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import type { Gate, TestDatabase } from '@verbatim/core/testing'
import { expect, vi } from 'vitest'
import { answerOf, textDelta } from './agents.ts'
import { askAgain } from './ask-again.ts'
import { openDatabase, openEngine, shortLeases } from './engine.ts'
import { ada, waitOptions } from './follow.ts'

export const sessionId = 'session-1'

export interface EchoAgent extends Agent {
  /** The prompts it was asked, in order. */
  readonly asked: string[]
}

/** Answers `re: <prompt>`, and waits at `gate` in the middle of it. Finds what it must not be asked: a history out of order. */
export function echoAgent({ id = 'echo', gate }: { id?: string; gate?: Gate } = {}): EchoAgent {
  const asked: string[] = []
  return {
    id,
    asked,
    async *stream({ messages }, signal) {
      expectAlternating(messages)
      const prompt = textOf(messages.at(-1)?.content ?? [])
      asked.push(prompt)
      yield* answerOf([]).slice(0, 2)
      yield textDelta('re: ')
      await gate?.pass(signal)
      yield textDelta(prompt)
      yield* answerOf([]).slice(2)
    },
  }
}

export const fastLeases = { ...shortLeases, recoveryMs: 50 }

/** One database with an engine or two, whose first answer waits in its middle. */
export async function openBusy({ engines: count = 1, ...options }: EngineOptionsInput & { engines?: 1 | 2 } = {}) {
  const database = await openDatabase()
  const gate = createGate()
  const agent = echoAgent({ gate })
  const open = () => openEngine(database, { agents: [agent], options: { ...fastLeases, ...options } })
  const engine = open()
  const other = count === 2 ? open() : engine
  const first = await start(engine, 'first')
  await gate.reached()
  await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
  return {
    database,
    gate,
    agent,
    engine,
    other,
    first,
    async [Symbol.asyncDispose]() {
      await Promise.all([engine.close(), other.close()])
      await database[Symbol.asyncDispose]()
    },
  }
}

/** A process that ends a run learns of it only when `gate` opens, and so of the run that it has promoted: both are stored before. */
export function holdEnds({ runRepository }: TestDatabase['storage'], gate: Gate): Pick<EnginePorts, 'runRepository'> {
  return {
    runRepository: {
      ...runRepository,
      async finishRun(...args) {
        const outcome = await runRepository.finishRun(...args)
        await gate.pass()
        return outcome
      },
    },
  }
}

/** Resolves when the run has ended in storage, whatever its process knows of it. */
export async function ended(engine: Engine, { id }: Run): Promise<void> {
  await vi.waitFor(
    async () => expect(isTerminalStatus((await engine.runs.get(ada, id)).status)).toBe(true),
    waitOptions,
  )
}

/** @param how the policy, and the run's id when it matters */
export async function start(
  engine: Engine,
  message: string,
  how: { whenBusy?: WhenBusy | undefined; runId?: string } = {},
): Promise<Run> {
  const { whenBusy, runId = crypto.randomUUID() } = how
  return await engine.runs.start(ada, { runId, sessionId, message, whenBusy })
}

/** {@link start}, as one of many at once. */
export async function startConcurrently(
  engine: Engine,
  message: string,
  { whenBusy, runId = crypto.randomUUID() }: { whenBusy?: WhenBusy; runId?: string } = {},
): Promise<Run> {
  return await askAgain(engine, async () => await start(engine, message, { whenBusy, runId }))
}

export async function history(engine: Engine): Promise<Message[]> {
  const messages: Message[] = []
  let cursor: string | null | undefined
  do {
    const page = await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 100, cursor })
    messages.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return messages
}

function expectAlternating(messages: readonly Message[]): void {
  messages.forEach((message, at) => {
    if (at > 0) expect(message.role).not.toBe(messages[at - 1]?.role)
  })
}

/** Resolves when nothing runs or waits in the session; checks that all that did has ended as it should. */
export async function settled(engine: Engine, database: TestDatabase): Promise<{ runs: Run[]; messages: Message[] }> {
  await vi.waitFor(async () => expect((await engine.sessions.get(ada, sessionId)).activeRunId).toBeNull(), waitOptions)
  const { items: runs } = await engine.runs.list(ada, sessionId, { limit: 100 })
  for (const run of runs) expect(isTerminalStatus(run.status)).toBe(true)
  const messages = await history(engine)
  expectAlternating(messages)
  expect(messages.map((message) => message.seq)).toEqual(messages.map((_, at) => at + 1))
  // Each pair is of one run, and the answer is to the prompt.
  for (let at = 0; at < messages.length; at += 2) {
    const [question, answer] = messages.slice(at, at + 2)
    expect([question?.role, answer?.role]).toEqual(['user', 'assistant'])
    expect(answer?.runId).toBe(question?.runId)
    if (answer?.status === 'completed') expect(textOf(answer.content)).toBe(`re: ${textOf(question?.content ?? [])}`)
  }
  const [session] = await sessionsOf(database).find().toArray()
  expect(session?.['queue'] ?? []).toEqual([])
  const runsStored = database.client.db(database.databaseName).collection('runs')
  expect(await runsStored.countDocuments({ $or: [{ prompt: { $exists: true } }, { input: { $exists: true } }] })).toBe(
    0,
  )
  return { runs, messages }
}

export function promptsOf(messages: readonly Message[]): string[] {
  return messages.filter((message) => message.role === 'user').map((message) => textOf(message.content))
}

function sessionsOf(database: TestDatabase) {
  return database.client.db(database.databaseName).collection('sessions')
}

/** The ids of the runs that wait, in their order. */
export async function queueOf(database: TestDatabase): Promise<string[]> {
  const [session] = await sessionsOf(database).find().toArray()
  return session?.['queue'] ?? []
}

export function names(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `prompt ${at + 1}`)
}
