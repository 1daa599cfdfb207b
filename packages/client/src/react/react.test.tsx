// @vitest-environment jsdom
import { act, cleanup, configure, render, renderHook, screen, waitFor } from '@testing-library/react'
import { textOf } from '@verbatim/core'
import { StrictMode } from 'react'
import type { ReactNode } from 'react'
import { renderToString } from 'react-dom/server'
import { afterEach, describe, expect, it } from 'vitest'
import type { VerbatimClient } from '../create-client.ts'
import type { ChatMessage } from '../stores/chat-messages.ts'
import { startChatServer } from '../testing/chat-server.ts'
import type { ChatServer } from '../testing/chat-server.ts'
import { connect } from '../testing/connect.ts'
import { messageId, metrics, sessionId } from '../testing/events.ts'
import { refuse, wireError } from '../testing/wire-server.ts'
import { useChat, useRun, useVerbatim, VerbatimProvider } from './index.ts'

// Its own second is over before a busy machine has answered.
configure({ asyncUtilTimeout: 20_000 })

afterEach(cleanup)

function wrapperOf(client: VerbatimClient) {
  return ({ children }: { children: ReactNode }) => (
    <StrictMode>
      <VerbatimProvider client={client}>{children}</VerbatimProvider>
    </StrictMode>
  )
}

function openChat(client: VerbatimClient) {
  const frames: (readonly ChatMessage[])[] = []
  const hook = renderHook(
    () => {
      const chat = useChat(sessionId)
      if (frames.at(-1) !== chat.messages) frames.push(chat.messages)
      return chat
    },
    { wrapper: wrapperOf(client) },
  )
  const chat = () => hook.result.current
  return { chat, frames, unmount: hook.unmount }
}

/** A chat of an empty session, once it is ready for a prompt. */
async function openIdleChat(server: ChatServer) {
  const opened = openChat(connect(server.wire))
  await waitFor(() => expect(opened.chat().status).toBe('idle'))
  return opened
}

const said = (messages: readonly ChatMessage[]): string[] =>
  messages.map(({ role, content }) => `${role}: ${textOf(content)}`)

describe('useChat', () => {
  it('shows the prompt at once, the answer as it comes, and then the stored messages in their place', async () => {
    await using server = await startChatServer()
    const { chat, frames } = await openIdleChat(server)
    expect(chat().messages).toEqual([])

    let isDurable: Promise<boolean> | undefined
    act(() => {
      isDurable = chat().send('Hi')
    })
    expect(chat()).toMatchObject({ status: 'starting', messages: [{ role: 'user', status: 'sending' }] })
    expect(await isDurable).toBe(true)
    server.current!.say('Hel')
    await waitFor(() => expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Hel']))
    expect(chat().status).toBe('streaming')
    expect(chat().messages[1]?.status).toBe('streaming')
    server.current!.say('lo')
    server.current!.end()
    await waitFor(() => expect(chat().status).toBe('idle'))
    await waitFor(() =>
      expect(chat().messages.map((message) => message.id)).toEqual(server.messages.map(({ id }) => id)),
    )
    expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Hello'])
    expect(chat().messages[1]?.metrics).toEqual(metrics)

    // No flicker and no doubling: the list only ever grew, under the same keys, and its text never went back.
    let keys: string[] = []
    let text = ''
    for (const frame of frames) {
      expect(frame.map((message) => message.key).slice(0, keys.length)).toEqual(keys)
      keys = frame.map((message) => message.key)
      expect(said(frame).join().startsWith(text)).toBe(true)
      text = said(frame).join()
    }
    expect(new Set(keys).size).toBe(2)
  })

  it('an answer of an agent with an output schema shows its output as it becomes more, and then the checked one', async () => {
    await using server = await startChatServer()
    const { chat, frames } = await openIdleChat(server)
    await act(async () => void (await chat().send('The prices?')))
    server.current!.say('{"title":"Pri')
    await waitFor(() => expect(chat().messages.at(-1)).toMatchObject({ partialOutput: { title: 'Pri' }, output: null }))
    server.current!.say('ces","total":12')
    await waitFor(() => expect(chat().messages.at(-1)?.partialOutput).toEqual({ title: 'Prices' }))
    expect(chat().messages.at(-1)?.agentId).toBe('default')
    server.current!.say('}')
    server.current!.end(undefined, { title: 'Prices', total: 12 })
    await waitFor(() => expect(chat().status).toBe('idle'))
    const whole = { title: 'Prices', total: 12 }
    expect(chat().messages.at(-1)).toMatchObject({ partialOutput: whole, output: whole })
    const prompts = frames.flat().filter(({ role }) => role === 'user')
    expect(new Set(prompts.map(({ partialOutput }) => partialOutput))).toEqual(new Set([null]))
    const later = openChat(connect(server.wire))
    await waitFor(() => expect(later.chat().messages.at(-1)).toMatchObject({ output: whole }))
  })

  it('goes on in mid-answer after a reload', async () => {
    await using server = await startChatServer()
    server.addTurn('Before', 'that')
    const run = server.begin('Hi')
    run.say('Hel')
    const first = openChat(connect(server.wire))
    await waitFor(() => expect(said(first.chat().messages).at(-1)).toBe('assistant: Hel'))
    first.unmount()
    await waitFor(() => expect(server.wire.openStreams).toBe(0))

    run.say('lo ')
    const second = openChat(connect(server.wire))
    await waitFor(() => expect(said(second.chat().messages).at(-1)).toBe('assistant: Hello '))
    expect(second.chat().status).toBe('streaming')
    server.cut()
    run.say('world')
    run.end()
    await waitFor(() => expect(second.chat().status).toBe('idle'))
    expect(said(second.chat().messages)).toEqual([
      'user: Before',
      'assistant: that',
      'user: Hi',
      'assistant: Hello world',
    ])
  })

  it('goes on after the component came back, without reading again what it has', async () => {
    await using server = await startChatServer()
    const client = connect(server.wire)
    const run = server.begin('Hi')
    run.say('Hel')
    function Chat() {
      const { messages } = useChat(sessionId)
      return <p>{said(messages).join('|')}</p>
    }
    const Wrapper = wrapperOf(client)
    const view = render(<Chat />, { wrapper: Wrapper })
    await screen.findByText('user: Hi|assistant: Hel')
    view.rerender(<i />)
    await waitFor(() => expect(server.wire.openStreams).toBe(0))
    run.say('lo')
    view.rerender(<Chat />)
    await screen.findByText('user: Hi|assistant: Hello')
    run.end()
    await waitFor(() => expect(server.wire.openStreams).toBe(0))
  })

  it('opens one stream under StrictMode, and one for all components of a session', async () => {
    await using server = await startChatServer()
    const run = server.begin('Hi')
    run.say('Hello')
    function Chat() {
      const { messages, runId } = useChat(sessionId)
      return <p>{`${said(messages).at(-1)} ${runId === null ? '' : 'live'}`}</p>
    }
    function Run() {
      return <p>{`run: ${useRun(run.id).text}`}</p>
    }
    render(
      <>
        <Chat />
        <Chat />
        <Run />
        <Run />
      </>,
      { wrapper: wrapperOf(connect(server.wire)) },
    )
    await waitFor(() => expect(screen.getAllByText('assistant: Hello live')).toHaveLength(2))
    await waitFor(() => expect(screen.getAllByText('run: Hello')).toHaveLength(2))
    expect(server.wire.to('runs.follow')).toHaveLength(1)
    expect(server.wire.to('messages.list')).toHaveLength(1)
  })

  it('takes a refused prompt back, says why, and shows the other tab’s run', async () => {
    await using server = await startChatServer()
    const { chat } = await openIdleChat(server)
    const other = server.begin('From the other tab')
    other.say('An answer')
    let isDurable: boolean | undefined
    await act(async () => {
      isDurable = await chat().send('Mine')
    })
    expect(isDurable).toBe(false)
    await waitFor(() => expect(said(chat().messages)).toEqual(['user: From the other tab', 'assistant: An answer']))
    expect(chat().error).toMatchObject({ code: 'SESSION_BUSY' })
    expect(chat().status).toBe('streaming')
    other.end()
    await waitFor(() => expect(chat().status).toBe('idle'))
    await act(async () => void (await chat().send('Mine')))
    expect(chat().error).toBeNull()
    expect(said(chat().messages).at(2)).toBe('user: Mine')
  })

  it('stops the answer and keeps what is there of it', async () => {
    await using server = await startChatServer()
    const { chat } = await openIdleChat(server)
    await act(async () => void (await chat().send('Hi')))
    server.current!.say('Half')
    await waitFor(() => expect(said(chat().messages).at(-1)).toBe('assistant: Half'))
    await act(async () => await chat().stop())
    await waitFor(() => expect(chat().messages.at(-1)?.status).toBe('cancelled'))
    expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Half'])
    expect(chat().status).toBe('idle')
    expect(chat().error).toBeNull()
  })

  it('regenerates the newest answer in its place, and asks the prompt no second time', async () => {
    await using server = await startChatServer()
    server.addTurn('Hi', 'One')
    const { chat } = openChat(connect(server.wire))
    await waitFor(() => expect(chat().messages).toHaveLength(2))
    await act(async () => expect(await chat().regenerate()).toBe(true))
    server.current!.say('Tw')
    await waitFor(() => expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Tw']))
    server.current!.say('o')
    server.current!.end()
    await waitFor(() => expect(chat().status).toBe('idle'))
    expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Two'])
    expect(server.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'assistant'])
    expect(server.wire.to('runs.start')).toHaveLength(0)
    // A page that loads the session later shows the same.
    const later = openChat(connect(server.wire))
    await waitFor(() => expect(said(later.chat().messages)).toEqual(['user: Hi', 'assistant: Two']))
  })

  it('retries an answer that failed and leaves one that is whole as it is', async () => {
    await using server = await startChatServer()
    const { chat } = await openIdleChat(server)
    await act(async () => void (await chat().send('Hi')))
    server.current!.say('Half')
    server.current!.end({ type: 'run_failed', messageId, metrics, error: wireError('PROVIDER_ERROR') })
    await waitFor(() => expect(chat().messages.at(-1)?.status).toBe('failed'))
    await act(async () => expect(await chat().retry()).toBe(true))
    expect(chat().error).toBeNull()
    server.current!.say('Whole')
    server.current!.end()
    await waitFor(() => expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Whole']))
    await waitFor(() => expect(chat().status).toBe('idle'))
    await act(async () => expect(await chat().retry()).toBe(false))
    expect(server.wire.to('runs.retry')).toHaveLength(1)
  })

  it('shows in the place of an answer the new one that another page asked for', async () => {
    await using server = await startChatServer()
    const first = server.begin('Hi')
    first.say('One')
    first.end()
    const again = server.beginRetry(first.id)
    again.say('Tw')
    const { chat } = openChat(connect(server.wire))
    await waitFor(() => expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Tw']))
    again.say('o')
    again.end()
    await waitFor(() => expect(chat().status).toBe('idle'))
    expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Two'])
  })

  it('settles a start that is accepted after its page was left', async () => {
    await using server = await startChatServer()
    const gate = Promise.withResolvers<void>()
    const start = server.wire.handlerOf('runs.start')
    server.wire.on('runs.start', async (request, response) => {
      await gate.promise
      await start(request, response)
    })
    const client = connect(server.wire)
    const first = openChat(client)
    await waitFor(() => expect(first.chat().status).toBe('idle'))
    act(() => void first.chat().send('Hi'))
    await waitFor(() => expect(server.wire.to('runs.start')).toHaveLength(1))
    first.unmount()
    await new Promise((resolve) => setTimeout(resolve, 0)) // the store leaves its page with the next task
    const second = openChat(client)
    await waitFor(() => expect(second.chat().messages.map(({ status }) => status)).toEqual(['sending']))
    gate.resolve()
    await waitFor(() => expect(second.chat().messages[0]?.status).toBe('completed'))
    server.current!.say('Hello')
    server.current!.end()
    await waitFor(() => expect(said(second.chat().messages)).toEqual(['user: Hi', 'assistant: Hello']))
    expect(second.chat().status).toBe('idle')
  })

  it('takes a start back that is refused after its page was left, and says why', async () => {
    await using server = await startChatServer()
    server.addTurn('Before', 'that')
    const gate = Promise.withResolvers<void>()
    server.wire.on('runs.start', async (_request, response) => {
      await gate.promise
      refuse(response, wireError('MESSAGE_TOO_LARGE'), 413)
    })
    const client = connect(server.wire)
    const first = openChat(client)
    await waitFor(() => expect(first.chat().status).toBe('idle'))
    let isTaken: Promise<boolean> | undefined
    act(() => void (isTaken = first.chat().send('Hi')))
    await waitFor(() => expect(server.wire.to('runs.start')).toHaveLength(1))
    first.unmount()
    await new Promise((resolve) => setTimeout(resolve, 0)) // as above
    gate.resolve()
    expect(await isTaken).toBe(false)
    const second = openChat(client)
    await waitFor(() => expect(said(second.chat().messages)).toEqual(['user: Before', 'assistant: that']))
    expect(second.chat().status).toBe('idle')
  })

  it('sends a prompt right after a stop, although the end of the run is not here yet', async () => {
    await using server = await startChatServer()
    const { chat } = await openIdleChat(server)
    await act(async () => void (await chat().send('Hi')))
    server.current!.say('Half')
    await waitFor(() => expect(said(chat().messages).at(-1)).toBe('assistant: Half'))
    // The stream lags: what comes from here on does not arrive, and the answer to the stop does.
    const follow = server.wire.handlerOf('runs.follow')
    server.wire.on('runs.follow', () => {})
    server.cut()
    await act(async () => await chat().stop())
    server.wire.on('runs.follow', follow)
    let isTaken: boolean | undefined
    await act(async () => void (isTaken = await chat().send('Next')))
    expect(isTaken).toBe(true)
    expect(chat().error).toBeNull()
    server.current!.say('Answer')
    server.current!.end()
    server.cut()
    await waitFor(() =>
      expect(said(chat().messages)).toEqual(['user: Hi', 'assistant: Half', 'user: Next', 'assistant: Answer']),
    )
  })

  it('shows a failed run’s error and its part of an answer', async () => {
    await using server = await startChatServer()
    const { chat } = await openIdleChat(server)
    await act(async () => void (await chat().send('Hi')))
    server.current!.say('Half')
    server.current!.end({ type: 'run_failed', messageId, metrics, error: wireError('PROVIDER_ERROR') })
    await waitFor(() => expect(chat().error).toMatchObject({ code: 'PROVIDER_ERROR' }))
    expect(chat().status).toBe('idle')
    expect(chat().messages.at(-1)).toMatchObject({ status: 'failed', role: 'assistant' })
  })

  it('loads older messages a page at a time', async () => {
    await using server = await startChatServer({ pageSize: 4 })
    for (let turn = 1; turn <= 5; turn++) server.addTurn(`Q${turn}`, `A${turn}`)
    const { chat } = openChat(connect(server.wire))
    await waitFor(() =>
      expect(said(chat().messages)).toEqual(['user: Q4', 'assistant: A4', 'user: Q5', 'assistant: A5']),
    )
    expect(chat().hasOlder).toBe(true)
    await act(async () => await chat().loadOlder())
    await act(async () => await chat().loadOlder())
    await waitFor(() => expect(chat().messages).toHaveLength(10))
    expect(chat().hasOlder).toBe(false)
    expect(said(chat().messages)[0]).toBe('user: Q1')
  })

  it('keeps asking for the messages while the server cannot be reached', async () => {
    await using server = await startChatServer()
    server.addTurn('Hi', 'there')
    let isAway = true
    const client = connect(server.wire, {
      fetch: async (input, init) => {
        if (isAway) throw new TypeError('fetch failed')
        return await fetch(input, init)
      },
    })
    const { chat } = openChat(client)
    await waitFor(() => expect(chat().error).toMatchObject({ code: 'UNAVAILABLE' }))
    expect(chat().status).toBe('loading')
    isAway = false
    act(() => void window.dispatchEvent(new Event('online')))
    await waitFor(() => expect(chat().messages).toHaveLength(2))
    // The event has two asking; the messages may be those of the one that does not know of the error.
    await waitFor(() => expect(chat().error).toBeNull())
    expect(chat().messages).toHaveLength(2)
  })

  it('does not join again and again a run that it may not follow', async () => {
    await using server = await startChatServer()
    server.begin('Hi')
    server.wire.on('runs.follow', (_request, response) => refuse(response, wireError('FORBIDDEN'), 403))
    const { chat } = openChat(connect(server.wire))
    await waitFor(() => expect(chat().error).toMatchObject({ code: 'FORBIDDEN' }))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(server.wire.to('runs.follow')).toHaveLength(1)
    expect(chat().status).toBe('idle')
  })

  it('draws at most once a frame, however fast the batches come', async () => {
    await using server = await startChatServer()
    const { chat, frames } = await openIdleChat(server)
    await act(async () => void (await chat().send('Hi')))
    const drawnBefore = frames.length
    const startMs = performance.now()
    for (let index = 0; index < 2000; index++) server.current!.say(`${index} `)
    server.current!.end()
    await waitFor(() => expect(chat().status).toBe('idle'))
    expect(said(chat().messages).at(-1)).toMatch(/ 1998 1999 $/)
    // 60 frames a second, some more for the beginning and the end, and never one a batch, however slow the machine.
    const mostFrames = (performance.now() - startMs) / 16 + 20
    expect(frames.length - drawnBefore).toBeLessThan(Math.min(mostFrames, 2000))
  })
})

describe('useRun', () => {
  it('follows a run to its end and can stop it', async () => {
    await using server = await startChatServer()
    const client = connect(server.wire)
    const handle = client.chat(sessionId).send('Hi')
    await handle.started
    const hook = renderHook(() => useRun(handle.id), { wrapper: wrapperOf(client) })
    server.current!.say('Hello')
    await waitFor(() => expect(hook.result.current).toMatchObject({ status: 'streaming', text: 'Hello' }))
    await act(async () => await hook.result.current.cancel())
    await waitFor(() => expect(hook.result.current.status).toBe('cancelled'))
    expect(hook.result.current.text).toBe('Hello')
  })
})

describe('on a server', () => {
  it('renders the empty state and sends nothing', async () => {
    await using server = await startChatServer()
    server.addTurn('Hi', 'there')
    function Page() {
      const { status, messages } = useChat(sessionId)
      const run = useRun('00000000-0000-4000-8000-000000000001')
      return <p>{`${status} ${messages.length} ${run.status}`}</p>
    }
    const Wrapper = wrapperOf(connect(server.wire))
    expect(renderToString(<Wrapper children={<Page />} />)).toContain('loading 0 connecting')
    expect(server.wire.requests).toHaveLength(0)
  })

  it('says what is missing when there is no provider', () => {
    function Page() {
      useVerbatim()
      return null
    }
    expect(() => renderToString(<Page />)).toThrowError(/VerbatimProvider/)
  })
})
