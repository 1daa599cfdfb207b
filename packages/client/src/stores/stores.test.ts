import { textOf } from '@verbatim/core'
import { describe, expect, it } from 'vitest'
import { startChatServer } from '../testing/chat-server.ts'
import { connect } from '../testing/connect.ts'
import { sessionId } from '../testing/events.ts'
import { refuse, wireError } from '../testing/wire-server.ts'
import { chatStore } from './chat-store.ts'
import type { ChatStore } from './chat-snapshot.ts'
import { runStore } from './run-store.ts'

const said = (store: ChatStore): string[] =>
  store.getSnapshot().messages.map(({ role, content }) => `${role}: ${textOf(content)}`)

/** Subscribes, and waits until the store is ready for a prompt. */
async function watch(store: ChatStore) {
  const leave = store.subscribe(() => {})
  await expect.poll(() => store.getSnapshot().status).toBe('idle')
  return leave
}

describe('stores of one run', () => {
  it('share a connection, which stays open until the last of them has left', async () => {
    await using server = await startChatServer()
    const client = connect(server.wire)
    const run = server.begin('Hi')
    run.say('Hel')
    const chat = chatStore(client, sessionId)
    const leaveChat = chat.subscribe(() => {})
    const watched = runStore(client, run.id)
    const leaveRun = watched.subscribe(() => {})
    await expect.poll(() => watched.getSnapshot().text).toBe('Hel')
    await expect.poll(() => said(chat).at(-1)).toBe('assistant: Hel')
    leaveRun()
    await new Promise((resolve) => setTimeout(resolve, 20))
    run.say('lo')
    await expect.poll(() => said(chat).at(-1)).toBe('assistant: Hello')
    expect(server.wire.to('runs.follow')).toHaveLength(1)
    expect(server.wire.openStreams).toBe(1)
    leaveChat()
    await expect.poll(() => server.wire.openStreams).toBe(0)
  })

  it('are one store for each client and key', async () => {
    await using server = await startChatServer()
    const [one, two] = [connect(server.wire), connect(server.wire)]
    expect(chatStore(one, 'a')).toBe(chatStore(one, 'a'))
    expect(chatStore(one, 'a')).not.toBe(chatStore(one, 'b'))
    expect(chatStore(one, 'a')).not.toBe(chatStore(two, 'a'))
  })
})

describe('a chat store', () => {
  it('does not give up a prompt on its way when the page is left', async () => {
    await using server = await startChatServer()
    const client = connect(server.wire)
    const chat = chatStore(client, sessionId)
    const leave = await watch(chat)
    let isAway = true
    const start = server.wire.handlerOf('runs.start')
    server.wire.on('runs.start', (request, response) => {
      if (isAway) return refuse(response, wireError('UNAVAILABLE', { retryAfterMs: 20 }), 503)
      return start(request, response)
    })
    const isDurable = chat.send('Hi')
    await expect.poll(() => server.wire.to('runs.start').length).toBeGreaterThan(0)
    leave()
    await new Promise((resolve) => setTimeout(resolve, 20))
    isAway = false
    expect(await isDurable).toBe(true)
    expect(server.messages).toHaveLength(1)
    await expect.poll(() => server.wire.openStreams).toBe(0)
  })

  it('shows a prompt once, though it is stored while its answer is being made', async () => {
    await using server = await startChatServer()
    const chat = chatStore(connect(server.wire), sessionId)
    await watch(chat)
    await chat.send('Hi')
    server.current!.say('Hello')
    await expect.poll(() => said(chat)).toEqual(['user: Hi', 'assistant: Hello'])
    await chat.refresh()
    await expect.poll(() => chat.getSnapshot().messages[0]?.id).toBe(server.messages[0]!.id)
    expect(said(chat)).toEqual(['user: Hi', 'assistant: Hello'])
  })

  it('lets the server refuse a second prompt while the first is being answered', async () => {
    await using server = await startChatServer()
    const chat = chatStore(connect(server.wire), sessionId)
    await watch(chat)
    const [first, second] = await Promise.all([chat.send('One'), chat.send('Two')])
    expect([first, second]).toEqual([true, false])
    await expect.poll(() => chat.getSnapshot().error).toMatchObject({ code: 'SESSION_BUSY' })
    expect(server.wire.to('runs.start')).toHaveLength(2)
  })

  it('works without anybody watching', async () => {
    await using server = await startChatServer()
    const chat = chatStore(connect(server.wire), sessionId)
    expect(await chat.send('Hi')).toBe(true)
    server.current!.say('Hello')
    server.current!.end()
    await expect
      .poll(() => chat.getSnapshot().messages.map(({ id }) => id))
      .toEqual(server.messages.map(({ id }) => id))
    expect(chat.getSnapshot().status).toBe('idle')
  })

  it('starts its list anew when more messages came than a page holds', async () => {
    await using server = await startChatServer({ pageSize: 4 })
    server.addTurn('Q1', 'A1')
    const chat = chatStore(connect(server.wire), sessionId)
    chat.subscribe(() => {})
    await expect.poll(() => said(chat)).toEqual(['user: Q1', 'assistant: A1'])
    for (let turn = 2; turn <= 5; turn++) server.addTurn(`Q${turn}`, `A${turn}`)
    await chat.refresh()
    await expect.poll(() => said(chat)).toEqual(['user: Q4', 'assistant: A4', 'user: Q5', 'assistant: A5'])
    expect(chat.getSnapshot().hasOlder).toBe(true)
  })
})
