// @vitest-environment jsdom
/** What other tabs, devices and servers do shows here: the hooks against the real API, two engines and a real MongoDB. */
import { act, cleanup, configure, renderHook, waitFor } from '@testing-library/react'
import { textOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { createAppRouter } from '@verbatim/api'
import { createEngine } from '@verbatim/core/server'
import { openTestDatabase, scriptedAgent } from '@verbatim/core/testing'
import { listen } from '@verbatim/test-kit/http'
import { initTRPC } from '@trpc/server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { StrictMode } from 'react'
import type { ReactNode } from 'react'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import superjson from 'superjson'
import { afterEach, describe, expect, inject, it, vi } from 'vitest'
import { createClient } from '../create-client.ts'
import type { VerbatimClient } from '../create-client.ts'
import { connect } from '../testing/connect.ts'
import { serveEngine } from '../testing/serve-engine.ts'
import { useChat, useSessions, VerbatimProvider } from './index.ts'

configure({ asyncUtilTimeout: 20_000 })
afterEach(cleanup)

const wrapperOf =
  (client: VerbatimClient) =>
  ({ children }: { children: ReactNode }) => (
    <StrictMode>
      <VerbatimProvider client={client}>{children}</VerbatimProvider>
    </StrictMode>
  )

/** Two servers over one database: what one starts the other has to hear of. */
async function openFleet() {
  const stack = new AsyncDisposableStack()
  const database = stack.use(await openTestDatabase(inject('mongoUri')))
  const open = async () => {
    // A poll would come after the test's end.
    const agents = [scriptedAgent(['Hello ', 'there'])]
    const engine = stack.use(createEngine({ ...database.storage, agents }, { pollMs: 600_000 }))
    return stack.use(await serveEngine(engine))
  }
  const [here, there] = [await open(), await open()]
  return { here, there, [Symbol.asyncDispose]: async () => await stack.disposeAsync() }
}

const said = (messages: readonly { role: string; content: Readonly<Message['content']> }[]) =>
  messages.map(({ role, content }) => `${role}: ${textOf(content)}`)

describe('the hooks', () => {
  it("useChat and useSessions go through the transformer of a team's tRPC root", async () => {
    await using database = await openTestDatabase(inject('mongoUri'))
    await using engine = createEngine({ ...database.storage, agents: [scriptedAgent(['Hello ', 'there'])] })
    const t = initTRPC.create({ transformer: superjson, isDev: false })
    const verbatim = createAppRouter({ engine, principalOf: () => ({ userId: 'ada' }) })
    await using app = await listen(createHTTPHandler({ router: t.router({ verbatim }), basePath: '/trpc/' }))
    await using client = createClient({ url: app.url, mountedAs: 'verbatim', transformer: superjson })
    const wrapper = wrapperOf(client)
    const chat = renderHook(() => useChat('mounted'), { wrapper })
    const list = renderHook(() => useSessions(), { wrapper })
    await waitFor(() => expect(chat.result.current.status).toBe('idle'))
    await act(async () => void (await chat.result.current.send('Hi')))
    await waitFor(() => expect(said(chat.result.current.messages)).toEqual(['user: Hi', 'assistant: Hello there']))
    await waitFor(() => expect(list.result.current.sessions.map(({ id }) => id)).toEqual(['mounted']))
  })

  it('useChat asks for nothing of a session that is new, and goes on with it when another device makes it', async () => {
    await using fleet = await openFleet()
    const asked: string[] = []
    const fetchOf: typeof fetch = async (input, init) => {
      asked.push(new URL(input instanceof Request ? input.url : input).pathname)
      return await fetch(input, init)
    }
    await using client = createClient({ url: fleet.here.url, fetch: fetchOf })
    const chat = renderHook(() => useChat('new-here', { isNew: true }), { wrapper: wrapperOf(client) })
    await waitFor(() => expect(chat.result.current.status).toBe('idle'))
    await act(async () => await chat.result.current.refresh())
    expect(asked.filter((path) => /sessions\.get|messages\.list/.test(path))).toEqual([])
    await connect(fleet.there).chat('new-here').send('From there').message
    await waitFor(() =>
      expect(said(chat.result.current.messages)).toEqual(['user: From there', 'assistant: Hello there']),
    )
    await act(async () => void (await chat.result.current.send('From here')))
    await waitFor(() => expect(chat.result.current.messages).toHaveLength(4))
  })
})

describe('an idle chat', () => {
  it('shows a prompt that another device sends at another server, the answer as it is made, and a new title', async () => {
    await using fleet = await openFleet()
    const { result } = renderHook(() => useChat('s'), { wrapper: wrapperOf(connect(fleet.here)) })
    await waitFor(() => expect(result.current.status).toBe('idle'))
    const other = connect(fleet.there)
    const statuses = new Set<string>()
    const stop = setInterval(() => statuses.add(result.current.status), 1)
    await other.chat('s').send('Hi').message
    await waitFor(() => expect(said(result.current.messages)).toEqual(['user: Hi', 'assistant: Hello there']))
    await waitFor(() => expect(result.current.status).toBe('idle'))
    clearInterval(stop)
    await other.sessions.update({ sessionId: 's', title: 'Renamed' })
    await waitFor(() => expect(result.current.session?.title).toBe('Renamed'))
    await other.chat('s').send('Again').message
    await waitFor(() => expect(result.current.messages).toHaveLength(4))
    await other.sessions.delete('s')
    await waitFor(() => expect(result.current.error?.code).toBe('SESSION_DELETED'))
    expect(result.current.messages).toEqual([])
  })

  it('shows the answer of another device once, and the own prompt that follows after it', async () => {
    await using fleet = await openFleet()
    const { result } = renderHook(() => useChat('s'), { wrapper: wrapperOf(connect(fleet.here)) })
    await waitFor(() => expect(result.current.status).toBe('idle'))
    await connect(fleet.there).chat('s').send('Hi').message
    await waitFor(() => expect(result.current.messages).toHaveLength(2))
    await waitFor(() => expect(result.current.status).toBe('idle'))
    await act(async () => void (await result.current.send('And you?')))
    await waitFor(() =>
      expect(result.current.messages.at(-1)).toMatchObject({ role: 'assistant', status: 'completed' }),
    )
    expect(said(result.current.messages)).toEqual([
      'user: Hi',
      'assistant: Hello there',
      'user: And you?',
      'assistant: Hello there',
    ])
  })
})

it('useSessions lists what another device starts, and renames and deletes everywhere', async () => {
  await using fleet = await openFleet()
  const here = renderHook(() => useSessions(), { wrapper: wrapperOf(connect(fleet.here)) })
  const there = renderHook(() => useSessions(), { wrapper: wrapperOf(connect(fleet.there)) })
  await waitFor(() => expect(here.result.current.status).toBe('ready'))
  const other = connect(fleet.there)
  await other.chat('one').send('First').message
  await other.chat('two').send('Second').message
  const titles = (hook: typeof here) => hook.result.current.sessions.map(({ title }) => title)
  await waitFor(() => expect(titles(here)).toEqual(['Second', 'First']))
  await act(async () => expect(await here.result.current.rename('one', 'Renamed')).toBe(true))
  await waitFor(() => expect(titles(there)).toEqual(['Renamed', 'Second']))
  await act(async () => expect(await here.result.current.remove('two')).toBe(true))
  await waitFor(() => expect([titles(here), titles(there)]).toEqual([['Renamed'], ['Renamed']]))
  await act(async () => expect(await here.result.current.rename('gone', 'x')).toBe(false))
  expect(here.result.current.error?.code).toBe('SESSION_NOT_FOUND')
})

it('useSessions shows the list of a server that refuses to stream it, and why there is none; a refresh asks again', async () => {
  await using fleet = await openFleet()
  let refused = ['sessions.follow', 'sessions.list']
  const client = connect(fleet.here, {
    retry: { maxAttempts: 1 },
    fetch: async (input, init) => {
      const { pathname } = new URL(input instanceof Request ? input.url : input)
      const isRefused = refused.some((path) => pathname.endsWith(path))
      return isRefused ? new Response('none', { status: 404 }) : await fetch(input, init)
    },
  })
  await client.chat('one').send('First').message
  const { result } = renderHook(() => useSessions(), { wrapper: wrapperOf(client) })
  await waitFor(() => expect(result.current.error).not.toBeNull())
  expect(result.current).toMatchObject({ status: 'loading', sessions: [] })
  refused = ['sessions.follow']
  await act(async () => expect(await result.current.refresh()).toBe(true))
  expect(result.current).toMatchObject({ status: 'ready', error: null, sessions: [{ title: 'First' }] })
  refused = []
  await act(async () => expect(await result.current.refresh()).toBe(true))
  await connect(fleet.there).chat('two').send('Second').message
  await waitFor(() => expect(result.current.sessions.map(({ title }) => title)).toEqual(['Second', 'First']))
})

it('useSessions loads older pages after the newest, each session once', async () => {
  await using fleet = await openFleet()
  const client = connect(fleet.here)
  for (let at = 0; at < 60; at++) await client.sessions.create({ sessionId: `s-${at}` })
  const { result } = renderHook(() => useSessions(), { wrapper: wrapperOf(client) })
  await waitFor(() => expect(result.current.sessions).toHaveLength(50))
  expect(result.current.hasMore).toBe(true)
  await act(async () => await result.current.loadMore())
  expect(result.current.sessions.map(({ id }) => id)).toEqual(Array.from({ length: 60 }, (_, at) => `s-${59 - at}`))
  expect(result.current.hasMore).toBe(false)
  await client.sessions.update({ sessionId: 's-0', title: 'Back' })
  await waitFor(() => expect(result.current.sessions[0]).toMatchObject({ id: 's-0', title: 'Back' }))
  expect(result.current.sessions).toHaveLength(60)
})

it('a server renders the initial messages, and the browser takes them over without a flash or a warning', async () => {
  await using fleet = await openFleet()
  const writer = connect(fleet.here)
  await writer.chat('s').send('Hi').message
  const initialMessages = (await writer.messages.list('s', { order: 'newest' })).items
  const frames: string[] = []
  function Page() {
    const { messages } = useChat('s', { initialMessages })
    frames.push(said(messages).join(' | '))
    return <p>{said(messages).join(' | ')}</p>
  }
  const pageOf = (client: VerbatimClient) => (
    <VerbatimProvider client={client}>
      <Page />
    </VerbatimProvider>
  )
  const container = document.createElement('div')
  container.innerHTML = renderToString(pageOf(connect(fleet.here)))
  expect(container.textContent).toBe('user: Hi | assistant: Hello there')
  const complaints = vi.spyOn(console, 'error')
  const recoverable: unknown[] = []
  const root = hydrateRoot(container, pageOf(connect(fleet.here)), {
    onRecoverableError: (error) => recoverable.push(error),
  })
  await vi.waitFor(() => expect(frames.length).toBeGreaterThan(1), { timeout: 20_000 })
  await writer.chat('s').send('More').message
  await vi.waitFor(() => expect(container.textContent).toContain('user: More | assistant: Hello there'), {
    timeout: 20_000,
  })
  expect(frames.every((frame) => frame.startsWith('user: Hi | assistant: Hello there'))).toBe(true)
  expect([recoverable, complaints.mock.calls]).toEqual([[], []])
  root.unmount()
  complaints.mockRestore()
})
