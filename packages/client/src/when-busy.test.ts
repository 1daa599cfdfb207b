/** Prompts to a busy session, against the real API, the real engine and a real MongoDB. */
import { textOf } from '@verbatim/core'
import { createGate, openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { describe, expect, inject, it } from 'vitest'
import { chatStore } from './stores/chat-store.ts'
import type { ChatStore } from './stores/chat-snapshot.ts'
import { connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const sessionId = 'session-1'

/** A server whose agent says `re: `, waits at the gate, and repeats the prompt; and two clients ("tabs") of it. */
async function openTabs() {
  const gate = createGate()
  const agent = scriptedAgent(({ messages }) => ['re: ', gate, textOf(messages.at(-1)?.content ?? [])])
  const { engine, ...test } = await openTestEngine({
    uri: inject('mongoUri'),
    agents: [agent],
    options: { pollMs: 100 },
  })
  const site = await serveEngine(engine)
  return {
    gate,
    tab: connect(site),
    otherTab: connect(site),
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await test[Symbol.asyncDispose]()
    },
  }
}

const shown = (store: ChatStore): string[] =>
  store.getSnapshot().messages.map(({ role, status, content }) => `${role} ${status}: ${textOf(content)}`)

describe('a run handle', () => {
  it('of a prompt that waits is queued, and then streams to its message', async () => {
    await using tabs = await openTabs()
    const chat = tabs.tab.chat(sessionId)
    const first = chat.send('first')
    await first.started
    const second = chat.send('second', { whenBusy: 'queue' })
    expect((await second.started).status).toBe('queued')
    await expect.poll(() => second.status).toBe('queued')
    expect(second.answer).toMatchObject({ status: 'queued', content: [] })
    const seen = new Set<string>()
    second.subscribe(() => seen.add(second.status))
    tabs.gate.open()
    expect(textOf((await second.message).content)).toBe('re: second')
    expect([...seen]).toEqual(['streaming', 'completed'])
    expect(textOf((await first.message).content)).toBe('re: first')
  })

  it('of a prompt that is cancelled while it waits ends as cancelled, without a message', async () => {
    await using tabs = await openTabs()
    const chat = tabs.tab.chat(sessionId)
    await chat.send('first').started
    const second = chat.send('second', { whenBusy: 'queue' })
    await second.started
    expect(await second.cancel()).toMatchObject({ status: 'cancelled', finalSeq: 2 })
    await expect(second.message).rejects.toMatchObject({ code: 'MESSAGE_NOT_FOUND' })
    expect([second.status, second.answer.messageId]).toEqual(['cancelled', null])
  })

  it('of a prompt that replaces ends the other as cancelled, with the part that it had', async () => {
    await using tabs = await openTabs()
    const first = tabs.tab.chat(sessionId).send('first')
    await expect.poll(() => textOf(first.answer.content)).toBe('re: ')
    const second = tabs.otherTab.chat(sessionId).send('second', { whenBusy: 'replace' })
    expect(await first.message).toMatchObject({ status: 'cancelled', content: [{ type: 'text', text: 're: ' }] })
    tabs.gate.open()
    expect(textOf((await second.message).content)).toBe('re: second')
  })
})

describe('a chat store', () => {
  it('shows prompts that wait for the answer being made, and each in its turn', async () => {
    await using tabs = await openTabs()
    const store = chatStore(tabs.tab, sessionId)
    const leave = store.subscribe(() => {})
    expect(await store.send('first')).toBe(true)
    expect(await store.send('jump')).toBe(false)
    expect(store.getSnapshot().error?.code).toBe('SESSION_BUSY')
    expect(await store.send('second', { whenBusy: 'queue' })).toBe(true)
    expect(await store.send('third', { whenBusy: 'queue' })).toBe(true)
    const waiting = ['user completed: first', 'assistant streaming: re: ', 'user queued: second', 'user queued: third']
    await expect.poll(() => shown(store)).toEqual(waiting)
    expect(store.getSnapshot()).toMatchObject({ status: 'streaming', error: null })
    tabs.gate.open()
    await expect.poll(() => store.getSnapshot().status).toBe('idle')
    const texts = ['first', 'second', 'third']
    const all = texts.flatMap((text) => [`user completed: ${text}`, `assistant completed: re: ${text}`])
    await expect.poll(() => shown(store)).toEqual(all)
    leave()
  })

  it("shows another tab's answer while a prompt of ours waits for it, and takes back one that was never asked", async () => {
    await using tabs = await openTabs()
    const theirs = tabs.otherTab.chat(sessionId).send('theirs')
    await theirs.started
    const store = chatStore(tabs.tab, sessionId)
    expect(await store.send('ours', { whenBusy: 'queue' })).toBe(true)
    const leave = store.subscribe(() => {})
    const waiting = ['user completed: theirs', 'assistant streaming: re: ', 'user queued: ours']
    await expect.poll(() => shown(store)).toEqual(waiting)
    const ours = store.getSnapshot().messages.at(-1)?.runId ?? ''
    expect(store.getSnapshot().runId).toBe(theirs.id)
    await tabs.otherTab.runs.cancel(ours)
    await expect.poll(() => shown(store)).toEqual(waiting.slice(0, 2))
    tabs.gate.open()
    const ended = ['user completed: theirs', 'assistant completed: re: theirs']
    await expect.poll(() => shown(store)).toEqual(ended)
    expect(store.getSnapshot().status).toBe('idle')
    leave()
  })

  it('goes on with a prompt that waits after its component came back', async () => {
    await using tabs = await openTabs()
    const store = chatStore(tabs.tab, sessionId)
    const leave = store.subscribe(() => {})
    await store.send('first')
    await store.send('second', { whenBusy: 'queue' })
    await expect.poll(() => shown(store).at(-1)).toBe('user queued: second')
    leave()
    const leaveAgain = store.subscribe(() => {})
    tabs.gate.open()
    const all = ['first', 'second'].flatMap((text) => [`user completed: ${text}`, `assistant completed: re: ${text}`])
    await expect.poll(() => shown(store)).toEqual(all)
    leaveAgain()
  })
})
