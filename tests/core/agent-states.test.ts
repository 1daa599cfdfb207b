/** States of agents, and redaction in place: small documents of a session that follow all its rules. */
import { ownerOf, Principal, VerbatimError } from '@verbatim/core'
import type { ExportLine } from '@verbatim/core'
import { SessionManager } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import type { TestEngine } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { collectionsWith } from '../support/deleted.ts'

const ada = ownerOf(Principal.parse({ userId: 'ada' }))
const bob = ownerOf(Principal.parse({ userId: 'bob' }))
let opened: TestEngine

beforeAll(async () => void (opened = await openTestEngine({ uri: inject('mongoUri'), agents: [] })))
afterAll(async () => await opened[Symbol.asyncDispose]())

function openSession(owner = ada, sessionId: string = crypto.randomUUID()): SessionManager {
  return new SessionManager({ engine: opened.engine, owner, sessionId, release: () => Promise.resolve() })
}

describe('a state of an agent', () => {
  it('A state has a revision, and of two writers that have read the same one the first wins', async () => {
    const session = openSession()
    expect(await session.readState('helper')).toBeNull()
    const first = await session.writeState('helper', { state: { mood: 'good' }, expectedRevision: 0 })
    expect(first).toMatchObject({ name: 'helper', revision: 1, state: { mood: 'good' } })
    const writes = ['one', 'two'].map(
      async (mood) => await session.writeState('helper', { state: { mood }, expectedRevision: 1 }),
    )
    const settled = await Promise.allSettled(writes)
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(settled.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'STATE_MOVED' } })
    expect(await session.readState('helper')).toMatchObject({ revision: 2 })
    const late = session.writeState('helper', { state: null, expectedRevision: 0 })
    await expect(late).rejects.toMatchObject({ code: 'STATE_MOVED', retryable: false })
  })

  it("Another owner's state of the same names is missing, and malformed input stores nothing", async () => {
    const session = openSession()
    await session.writeState('helper', { state: 1, expectedRevision: 0 })
    expect(await openSession(bob, session.sessionId).readState('helper')).toBeNull()
    const states = opened.database.client.db(opened.database.databaseName).collection('agent_states')
    const before = await states.countDocuments()
    const wrong: [string, { state: never; expectedRevision: number }][] = [
      ['', { state: 1 as never, expectedRevision: 0 }],
      ['a'.repeat(201), { state: 1 as never, expectedRevision: 0 }],
      ['fresh', { state: undefined as never, expectedRevision: 0 }],
      ['fresh', { state: (() => 1) as never, expectedRevision: 0 }],
      ['fresh', { state: 'a\0b' as never, expectedRevision: 0 }],
      ['fresh', { state: 1 as never, expectedRevision: -1 }],
      ['fresh', { state: 1 as never, expectedRevision: { $gt: 0 } as never }],
    ]
    for (const [name, write] of wrong) {
      await expect(session.writeState(name, write)).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    }
    const large = session.writeState('fresh', { state: 'x'.repeat(5 * 1024 * 1024), expectedRevision: 0 })
    await expect(large).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' })
    expect(await states.countDocuments()).toBe(before)
  })

  it('A state is exported with its session, goes with it, and is refused after its deletion', async () => {
    const owner = ownerOf(Principal.parse({ userId: 'eve' }))
    const session = openSession(owner)
    await session.writeState('helper', { state: { word: 'Zwetschge' }, expectedRevision: 0 })
    const lines: ExportLine[] = []
    for await (const line of opened.engine.principals.export(owner)) lines.push(line)
    expect(lines.filter(({ type }) => type === 'agent_state')).toMatchObject([
      { agentState: { sessionId: session.sessionId, name: 'helper', revision: 1, state: { word: 'Zwetschge' } } },
    ])
    expect(await collectionsWith(opened.database, 'Zwetschge')).toEqual(['agent_states'])
    await session.delete()
    expect(await collectionsWith(opened.database, 'Zwetschge')).toEqual([])
    await expect(session.writeState('helper', { state: 1, expectedRevision: 0 })).rejects.toMatchObject({
      code: 'SESSION_DELETED',
    })
  })
})

describe('a redaction', () => {
  it('The words of a message go in place, and the audit has the reasons', async () => {
    const session = openSession()
    const { id } = await session.appendMessage({ role: 'user', content: 'The Zirkus is in town' })
    await session.appendMessage({ role: 'assistant', content: 'Is it?', metrics: { inputTokens: 3 } })
    const reasons = ['input topic Circus BLOCKED by gr-1']
    const redacted = await session.redactMessage(id, { content: '[redacted]', reasons })
    expect(redacted).toMatchObject({ id, seq: 1, role: 'user', content: [{ type: 'text', text: '[redacted]' }] })
    expect(await session.history()).toMatchObject([redacted, { seq: 2 }])
    expect(await collectionsWith(opened.database, 'Zirkus')).toEqual([])
    const { items } = await opened.engine.audit.list({ tenantId: ada.tenantId, limit: 10 })
    expect(items.find(({ target }) => target === `message:${id}`)).toMatchObject({
      action: 'message_redacted',
      actor: { userId: 'ada' },
      subject: 'ada',
      reasons,
    })
  })

  it("A message that is not the caller's, and malformed reasons, are refused with their typed errors", async () => {
    const session = openSession()
    const { id } = await session.appendMessage({ role: 'user', content: 'Hello' })
    const foreign = openSession(bob, session.sessionId).redactMessage(id, { content: 'x' })
    await expect(foreign).rejects.toMatchObject({ code: 'MESSAGE_NOT_FOUND' })
    const many = session.redactMessage(id, { content: 'x', reasons: Array.from({ length: 33 }, () => 'y') })
    await expect(many).rejects.toBeInstanceOf(VerbatimError)
    const long = session.redactMessage(id, { content: 'x', reasons: ['y'.repeat(201)] })
    await expect(long).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    expect((await session.history())[0]?.content).toEqual([{ type: 'text', text: 'Hello' }])
  })
})
