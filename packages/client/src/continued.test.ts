/** A handle, a chat and a run on a page go on when the process that answers is lost: real engines, API, sockets and MongoDB. */
import { continuationPrompt, cutContinuationPrompt, randomUuid, textOf, toCursor, VerbatimError } from '@verbatim/core'
import type { AgentEvent, SendOptions } from '@verbatim/core'
import { createEngine } from '@verbatim/core/server'
import type { Agent } from '@verbatim/core/server'
import { createGate, openTestDatabase, scriptedAgent } from '@verbatim/core/testing'
import type { Gate } from '@verbatim/core/testing'
import { describe, expect, inject, it } from 'vitest'
import { chatStore } from './stores/chat-store.ts'
import { runStore } from './stores/run-store.ts'
import { connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const leases = { heartbeatMs: 200, selfFenceMs: 12_000, leaseMs: 15_000, recoveryMs: 30, pollMs: 50 }
/** The one whose runs are taken over notices it by its heartbeat, and each test waits for that. */
const losing = { ...leases, selfFenceMs: 3_000, recoveryMs: 600_000 }

/**
 * A server whose answers are taken over: the client stays with it throughout, so it follows as a process that is not lost. Its
 * own runs are cut off by lapsing their leases, as if it had hung, and a second process goes on with `rest`.
 */
async function openFleet({ rest, policy = 'continue' }: { rest: Gate | string; policy?: Agent['onCrash'] }) {
  const database = await openTestDatabase(inject('mongoUri'))
  const held = createGate()
  const speaker: Agent = { ...scriptedAgent(['One, two, ', held]), onCrash: policy }
  const front = createEngine({ ...database.storage, agents: [speaker] }, losing)
  const site = await serveEngine(front)
  const client = connect(site)
  const closing: (() => Promise<void>)[] = []
  return {
    client,
    url: site.url,
    /** Sends a prompt, and waits for the first words. */
    async begin(options: SendOptions = {}) {
      const run = client.chat('s').send('Count', options)
      for await (const _text of run.text) break
      return run
    },
    /** Takes the runs over that go on now. */
    async takeOver() {
      const steps = typeof rest === 'string' ? [rest] : [rest, 'three']
      const agent: Agent = { ...scriptedAgent(steps), onCrash: policy }
      const runs = database.client.db(database.databaseName).collection('runs')
      await runs.updateMany(
        { status: 'running' },
        { $set: { 'lease.renewedAt': new Date(0), 'lease.processId': 'lost' } },
      )
      const taker = createEngine({ ...database.storage, agents: [agent] }, leases)
      closing.push(async () => await taker.close())
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(closing.map(async (close) => await close()))
      await site[Symbol.asyncDispose]()
      await front.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

describe('a handle', () => {
  it('reads on over the seam: text, events and cursors of both runs, and the last one’s message', async () => {
    await using fleet = await openFleet({ rest: 'three, four' })
    const run = fleet.client.chat('s').send('Count')
    const firstId = run.id
    const texts: string[] = []
    for await (const text of run.text) {
      texts.push(text)
      if (texts.length === 1) await fleet.takeOver()
    }
    expect(texts.join('')).toBe('One, two, three, four')
    expect(run.status).toBe('completed')
    expect(run.segments.map(({ runId }) => runId)).toEqual([firstId, run.id])
    expect(run.segments.map(({ answer }) => textOf(answer.content))).toEqual(['One, two, ', 'three, four'])
    expect(await run.message).toMatchObject({ runId: run.id, continuationOf: firstId, status: 'completed' })
    const types: string[] = []
    for await (const { type } of run) types.push(type)
    expect(types.filter((type) => type.startsWith('run_'))).toEqual([
      'run_started',
      'run_interrupted',
      'run_started',
      'run_completed',
    ])
    for await (const { runId, cursor } of run.batches) expect(cursor.startsWith(runId)).toBe(true)
    expect((await run.started).id).toBe(firstId)
  })

  it('that joins an answer long after it was interrupted reads it whole', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const sent = await fleet.begin()
    const firstId = sent.id
    await fleet.takeOver()
    await sent.message
    const late = fleet.client.runs.follow(firstId)
    let said = ''
    for await (const text of late.text) said += text
    expect(said).toBe('One, two, three')
    const atTheEnd = fleet.client.runs.follow(firstId, { after: toCursor(firstId, 5) })
    expect(textOf((await atTheEnd.message).content)).toBe('three')
  })

  it('stays with its run when the caller asks for it, and throws where no run continues', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const run = await fleet.begin({ followContinuations: false })
    await fleet.takeOver()
    expect(textOf((await run.message).content)).toBe('One, two, ')
    expect(run.status).toBe('interrupted')
    expect(run.answer.continuedBy).not.toBeNull()
    await using cautious = await openFleet({ rest: 'three', policy: 'interrupt' })
    const only = cautious.client.chat('s').send('Count')
    const reading = (async () => {
      for await (const _text of only.text) await cautious.takeOver()
    })()
    await expect(reading).rejects.toMatchObject({ code: 'RUN_FENCED' })
  })

  it('cancels the run that makes the answer, also when it has not heard of it', async () => {
    const rest = createGate()
    await using fleet = await openFleet({ rest })
    const run = await fleet.begin()
    const unaware = fleet.client.runs.follow(run.id, { followContinuations: false })
    await fleet.takeOver()
    await rest.reached()
    expect(await unaware.cancel()).toMatchObject({ status: 'cancelled', hadEnded: false })
    expect(await run.message).toMatchObject({ status: 'cancelled' })
    expect(run.status).toBe('cancelled')
  })

  it('closed between the parts follows nothing more', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const run = await fleet.begin()
    run.close()
    await fleet.takeOver()
    await expect(run.message).rejects.toMatchObject({ name: 'AbortError', message: 'The run handle was closed' })
    expect([run.status, run.segments.length]).toEqual(['closed', 1])
  })
})

describe('a page', () => {
  it('shows both parts, the server’s own prompt marked, and is never without the answer in between', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const chat = chatStore(fleet.client, 's')
    const statuses: string[] = []
    const errors: unknown[] = []
    const unsubscribe = chat.subscribe(() => {
      statuses.push(chat.getSnapshot().status)
      errors.push(chat.getSnapshot().error)
    })
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    statuses.length = 0
    await chat.send('Count')
    const shown = () => chat.getSnapshot().messages.map(({ content }) => textOf(content))
    await expect.poll(() => shown()).toEqual(['Count', 'One, two, '])
    const runId = chat.getSnapshot().runId ?? ''
    await fleet.takeOver()
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    await expect.poll(() => shown()).toEqual(['Count', 'One, two, ', continuationPrompt, 'three'])
    const linked = () => chat.getSnapshot().messages.map(({ continuationOf }) => continuationOf)
    await expect.poll(linked).toEqual([null, null, runId, runId]) // the last one's link comes with the stored message
    expect(statuses.indexOf('idle')).toBe(statuses.length - statuses.filter((status) => status === 'idle').length)
    expect(errors.filter((error) => error !== null)).toEqual([])
    unsubscribe()
  })

  it('makes a continued answer again as a whole, in the place of all its parts, and sends no prompt', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const chat = chatStore(fleet.client, 's')
    const unsubscribe = chat.subscribe(() => {})
    await chat.send('Count')
    await expect.poll(() => chat.getSnapshot().messages).toHaveLength(2)
    await fleet.takeOver()
    await expect.poll(() => chat.getSnapshot().messages).toHaveLength(4)
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    expect(await chat.regenerate()).toBe(true)
    const shown = () => chat.getSnapshot().messages.map(({ content }) => textOf(content))
    // The process that is asked says what it says to every prompt, and goes on.
    await expect.poll(() => shown()).toEqual(['Count', 'One, two, '])
    const { items } = await fleet.client.messages.list('s')
    expect(items.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    unsubscribe()
  })

  it('watching one run sees its text grow over the seam', async () => {
    await using fleet = await openFleet({ rest: 'three' })
    const run = fleet.client.chat('s').send('Count')
    await run.started
    const store = runStore(fleet.client, run.id)
    const texts: string[] = []
    const unsubscribe = store.subscribe(() => texts.push(store.getSnapshot().text))
    await expect.poll(() => store.getSnapshot().text).toBe('One, two, ')
    await fleet.takeOver()
    await expect.poll(() => store.getSnapshot()).toMatchObject({ status: 'completed', text: 'One, two, three' })
    expect(texts).toEqual(texts.toSorted((a, b) => a.length - b.length))
    unsubscribe()
  })
})

it('A plain HTTP follower learns from the error frame which run continues the answer', async () => {
  await using fleet = await openFleet({ rest: 'three' })
  const run = await fleet.begin()
  const firstId = run.id
  await fleet.takeOver()
  await run.message
  const first = await (await fetch(`${fleet.url}/chat/sse/${firstId}`)).text()
  expect(first).toContain(`"type":"error","code":"RUN_FENCED"`)
  const next = /"continuedBy":"([0-9a-f-]+)"/.exec(first)?.[1]
  expect(next).toBe(run.id)
  expect(await (await fetch(`${fleet.url}/chat/sse/${next}`)).text()).toContain('"data":"three"')
})

/** Says `parts`, one a request; all but the last reach the greatest length, and `fails` says which request fails before its first word. */
function cutAgent(parts: readonly string[], fails = -1): Agent {
  let calls = -1
  let said = -1
  return {
    id: 'cut',
    async *stream() {
      if (++calls === fails) throw new VerbatimError('PROVIDER_ERROR')
      const text = parts[++said] ?? ''
      yield { type: 'message_start', message: { model: 'm', usage: { input_tokens: 2 } } }
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text } }
      yield { type: 'content_block_stop', index: 0 }
      const stop_reason = said < parts.length - 1 ? 'max_tokens' : 'end_turn'
      yield { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 3 } }
      yield { type: 'message_stop' }
    },
  }
}

describe('an answer that reached its greatest length', () => {
  async function openChat(agent: Agent) {
    const stack = new AsyncDisposableStack()
    const database = stack.use(await openTestDatabase(inject('mongoUri')))
    const engine = stack.use(createEngine({ ...database.storage, agents: [agent] }, leases))
    const site = stack.use(await serveEngine(engine))
    const client = connect(site)
    const chat = chatStore(client, 's')
    stack.defer(chat.subscribe(() => {}))
    await chat.send('Count')
    await expect.poll(() => chat.getSnapshot()).toMatchObject({ status: 'idle', messages: { length: 2 } })
    const shown = () => chat.getSnapshot().messages.map(({ content }) => textOf(content))
    return { site, client, chat, shown, [Symbol.asyncDispose]: async () => await stack.disposeAsync() }
  }

  it('goes on in its place: one message with one key, the sum of both, and no prompt, here and where the session is opened anew', async () => {
    await using opened = await openChat(cutAgent(['One, t', 'wo, ', 'three']))
    const { chat, shown } = opened
    const { key } = chat.getSnapshot().messages[1]!
    const seen = new Set<string>()
    const unsubscribe = chat.subscribe(() => {
      for (const message of chat.getSnapshot().messages) seen.add(`${message.role} ${message.key === key}`)
    })
    expect(await chat.continueAnswer()).toBe(true)
    await expect.poll(() => chat.getSnapshot()).toMatchObject({ status: 'idle', messages: { length: 2 } })
    await expect.poll(shown).toEqual(['Count', 'One, two, '])
    expect(await chat.continueAnswer()).toBe(true)
    await expect.poll(shown).toEqual(['Count', 'One, two, three'])
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    unsubscribe()
    expect([...seen]).toEqual(['user false', 'assistant true'])
    const metrics = { inputTokens: 6, outputTokens: 9, stopReason: 'end_turn' }
    expect(chat.getSnapshot().messages[1]).toMatchObject({ key, status: 'completed', metrics })
    expect(await chat.continueAnswer()).toBe(false)
    const { items } = await opened.client.messages.list('s', { order: 'oldest' })
    expect(items.map(({ content }) => textOf(content))).toEqual([
      'Count',
      'One, t',
      cutContinuationPrompt,
      'wo, ',
      cutContinuationPrompt,
      'three',
    ])
    const other = chatStore(connect(opened.site), 's')
    const leave = other.subscribe(() => {})
    await expect
      .poll(() => other.getSnapshot().messages)
      .toMatchObject([{}, { key, content: [{ text: 'One, two, three' }] }])
    leave()
  })

  it('says when its rest failed; a retry makes the rest again, and a regeneration the whole', async () => {
    await using opened = await openChat(cutAgent(['One, ', 'two', 'Again'], 1))
    const { chat, shown } = opened
    await chat.continueAnswer()
    await expect.poll(() => chat.getSnapshot().messages[1]?.status).toBe('failed')
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    expect(shown()).toEqual(['Count', 'One, '])
    expect(await chat.retry()).toBe(true)
    await expect.poll(shown).toEqual(['Count', 'One, two'])
    await expect.poll(() => chat.getSnapshot().status).toBe('idle')
    expect(await chat.regenerate()).toBe(true)
    await expect.poll(shown).toEqual(['Count', 'Again'])
  })
})

describe('runs.retry', () => {
  const failsOnce = (): Agent => {
    let calls = 0
    const answers: AgentEvent[][] = [[]]
    return {
      id: 'once',
      async *stream() {
        yield* answers.flat()
        if (++calls === 1) throw new VerbatimError('PROVIDER_ERROR')
        yield { type: 'message_start', message: { model: 'm', usage: {} } }
        yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'whole' } }
        yield { type: 'content_block_stop', index: 0 }
        yield { type: 'message_stop' }
      },
    }
  }

  it('gives a handle of the new run, the same for the same new id; what is refused comes through it', async () => {
    await using database = await openTestDatabase(inject('mongoUri'))
    await using engine = createEngine({ ...database.storage, agents: [failsOnce()] }, leases)
    await using site = await serveEngine(engine)
    const client = connect(site)
    const failed = client.chat('s').send('Question')
    await expect(failed.message).rejects.toMatchObject({ code: 'PROVIDER_ERROR' })
    const id = randomUuid()
    const [first, second] = [1, 2].map(() => client.runs.retry(failed.id, { newRunId: id }))
    expect(await first?.message).toEqual(await second?.message)
    expect(await first?.message).toMatchObject({ retryOf: failed.id, content: [{ type: 'text', text: 'whole' }] })
    expect(first?.id).toBe(id)
    await expect(client.runs.retry(failed.id).message).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    expect(() => client.runs.retry('nonsense')).toThrow(VerbatimError)
    expect((await client.messages.list('s')).items.map(({ role }) => role)).toEqual(['user', 'assistant', 'assistant'])
  })
})
