import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { textOf as wordsOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { runProgram, startServerProgram } from '@verbatim/test-kit/process'
import type { ProgramOptions } from '@verbatim/test-kit/process'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { demoAnswer } from './demo-answer.ts'
import { startDemoModel } from './demo-model.ts'
import type { DemoModel } from './demo-model.ts'
import { processEnvironment } from './env.ts'
import type { ProcessEnvironment } from './env.ts'

const mainFile = new URL('./main.ts', import.meta.url)

/** The real program in a process of its own, without this machine's environment. */
const runMain = (options: ProgramOptions) => runProgram(mainFile, options)

/** The program once it says that it is ready. */
async function startMain(env: ProcessEnvironment) {
  return await startServerProgram(mainFile, { env: { PORT: '0', ...env }, readyText: 'Stop     Ctrl-C' })
}

async function startOnTestDatabase(env: ProcessEnvironment = {}) {
  const database = await openTestDatabase(inject('mongoUri'))
  const main = await startMain({ MONGODB_URI: inject('mongoUri'), VERBATIM_DATABASE: database.databaseName, ...env })
  const kill = main[Symbol.asyncDispose]
  return Object.assign(main, {
    async [Symbol.asyncDispose]() {
      await kill()
      await database[Symbol.asyncDispose]()
    },
  })
}

interface Frame {
  readonly type: string
  readonly data?: string
}

async function openChat(url: string, body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return await fetch(`${url}/chat/sse`, { method: 'POST', headers, body: JSON.stringify(body) })
}

async function framesOf(response: Response): Promise<Frame[]> {
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith('data: {'))
  return lines.map((line) => JSON.parse(line.slice('data: '.length)) as Frame)
}

async function messagesOf(url: string, sessionId: string): Promise<Message[]> {
  const response = await fetch(`${url}/trpc/messages.list?input=${encodeURIComponent(JSON.stringify({ sessionId }))}`)
  const { result } = (await response.json()) as { result: { data: { items: Message[] } } }
  return result.data.items
}

function textOf(frames: readonly Frame[]): string {
  return frames.map((frame) => (frame.type === 'token' ? (frame.data ?? '') : '')).join('')
}

async function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  const [response] = await once(request(url, { headers }).end(), 'response')
  response.resume()
  return response.statusCode
}

describe('the program', () => {
  let model: DemoModel
  /** Makes answers quick where their pace is not tested. */
  let quick: ProcessEnvironment

  beforeAll(async () => {
    model = await startDemoModel({ tokensPerSecond: 150, firstTokenMs: 10 })
    quick = { ANTHROPIC_BASE_URL: model.baseURL }
  })
  afterAll(async () => await model.close())

  test('the server answers a plain fetch token by token, and ends cleanly on SIGTERM', async () => {
    await using main = await startOnTestDatabase({ LOG_LEVEL: 'debug' })
    const prompt = 'Explain async iteration, my secret is 4711'
    const response = await openChat(main.url, { sessionId: 'plain', message: prompt })
    expect([response.status, response.headers.get('x-run-id')]).toEqual([200, expect.stringMatching(/^[\da-f-]{36}$/)])
    const frames = await framesOf(response)
    expect(frames.filter(({ type }) => type === 'token').length).toBeGreaterThan(5)
    expect(frames.at(-1)).toMatchObject({ type: 'done', metrics: { model: expect.any(String) } })
    main.kill('SIGTERM')
    expect(await main.exitCode).toBe(0)
    expect(main.stderr).not.toContain('4711')
  })

  test('the start message names the URL, the model, how to use Claude, and the place of the data', async () => {
    await using main = await startOnTestDatabase()
    expect(main.stdout).toMatch(/^Verbatim is ready: open http:\/\/127\.0\.0\.1:\d+$/m)
    expect(main.stdout).toMatch(/demo model.+ANTHROPIC_API_KEY=.+npm start/)
    expect(main.stdout).toContain('Data     database verbatim-test-')
    expect(main.stderr).toBe('')
    expect(await (await fetch(`${main.url}/config.json`)).json()).toMatchObject({ isDemo: true })
    expect((await fetch(`${main.url}/health/ready`)).status).toBe(200)
  })

  test('a stopping server lets a running answer end first', async () => {
    await using main = await startOnTestDatabase({ ...quick, VERBATIM_DRAIN_MS: '60000' })
    const response = await openChat(main.url, { sessionId: 'drained', message: 'Explain async iteration' })
    main.kill('SIGTERM')
    const frames = await framesOf(response)
    expect(frames.at(-1)?.type).toBe('done')
    expect(textOf(frames)).not.toBe('')
    expect(await main.exitCode).toBe(0)
  })

  test('two signals at one moment count as one Ctrl-C, and a later signal ends the process at once', async () => {
    await using main = await startOnTestDatabase({ VERBATIM_DRAIN_MS: '600000' })
    const { body } = await openChat(main.url, { sessionId: 'cut', message: 'Explain async iteration at great length' })
    // Two kinds: of one kind the second can vanish while the first waits.
    main.kill('SIGINT')
    main.kill('SIGHUP')
    await expect.poll(() => main.stdout).toContain('Stopping')
    await vi.waitFor(
      async () => {
        main.kill('SIGTERM')
        expect(await Promise.race([main.exitCode, Promise.resolve('running')])).toBe(143)
      },
      { timeout: 20_000, interval: 100 },
    )
    await body?.cancel().catch(() => {}) // cut off by the exit
  })

  test('the server keeps a conversation over a restart, in a MongoDB of its own', { timeout: 90_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-data-'))
    // Of this machine only what finds and runs a mongod.
    const { PATH, HOME, XDG_CACHE_HOME, MONGOMS_SYSTEM_BINARY } = processEnvironment
    const env = { PATH, HOME, XDG_CACHE_HOME, MONGOMS_SYSTEM_BINARY, VERBATIM_DATA_DIR: folder, ...quick }
    try {
      await using first = await startMain(env)
      expect(first.stdout).toContain(`Data     database verbatim in ${folder}`)
      const said = textOf(await framesOf(await openChat(first.url, { sessionId: 'kept', message: 'Hello' })))
      first.kill('SIGINT')
      expect(await first.exitCode).toBe(0)
      await using second = await startMain(env)
      const input = encodeURIComponent(JSON.stringify({ sessionId: 'kept' }))
      const answer = await (await fetch(`${second.url}/trpc/messages.list?input=${input}`)).json()
      expect(JSON.stringify(answer)).toContain(JSON.stringify(said).slice(1, -1))
      second.kill('SIGTERM')
      expect(await second.exitCode).toBe(0)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  test(
    'an answer goes on by itself after its server was killed, and loses and doubles nothing',
    { timeout: 120_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'verbatim-data-'))
      await using resources = new AsyncDisposableStack()
      resources.defer(async () => await rm(folder, { recursive: true }))
      const slow = await startDemoModel()
      resources.defer(async () => await slow.close())
      const { PATH, HOME, XDG_CACHE_HOME, MONGOMS_SYSTEM_BINARY } = processEnvironment
      const settings = { VERBATIM_DATA_DIR: folder, ANTHROPIC_BASE_URL: slow.baseURL }
      const env = { PATH, HOME, XDG_CACHE_HOME, MONGOMS_SYSTEM_BINARY, ...settings }
      const prompt = 'What happens after a crash?'
      {
        await using main = await startMain(env)
        const { body } = await openChat(main.url, { sessionId: 'killed', message: prompt })
        const reader = body!.pipeThrough(new TextDecoderStream()).getReader()
        let seen = ''
        while ((seen.match(/"token"/g) ?? []).length < 20) seen += (await reader.read()).value ?? ''
        main.kill('SIGKILL')
        await main.exitCode
      }
      await using main = await startMain(env)
      const statuses = async () => (await messagesOf(main.url, 'killed')).map(({ status }) => status)
      // The prompt, the first part, the server's own prompt, and the rest.
      const done = ['completed', 'interrupted', 'completed', 'completed']
      await expect.poll(statuses, { timeout: 60_000, interval: 500 }).toEqual(done)
      const items = await messagesOf(main.url, 'killed')
      const [, begun, , rest] = items.map(({ content }) => wordsOf(content))
      expect([begun, rest].every((part) => part !== '')).toBe(true)
      expect(begun! + rest!).toBe(demoAnswer({ prompt, turn: 1 }))
      // From the last sign of life to the takeover: a lease and a poll.
      const between = Date.parse(items[2]!.createdAt) - Date.parse(items[0]!.createdAt)
      expect(between).toBeLessThan(30_000)
    },
  )

  test('without tokens the server answers this machine only', async () => {
    await using main = await startOnTestDatabase()
    const target = `${main.url}/trpc/sessions.list?input={}`
    const { host } = new URL(main.url)
    expect(await statusOf(target, {})).toBe(200)
    expect(await statusOf(target, { origin: main.url })).toBe(200)
    expect(await statusOf(target, { host: 'evil.example' })).toBe(403)
    expect(await statusOf(main.url, { host: 'evil.example' })).toBe(403)
    expect(await statusOf(target, { host, origin: 'https://evil.example' })).toBe(403)
  })

  test('with tokens the server refuses a call without one, and keeps users apart', async () => {
    const [ada, bob] = ['token-of-ada-0123456789', 'token-of-bob-0123456789']
    await using main = await startOnTestDatabase({ VERBATIM_TOKENS: `${ada}=ada,${bob}=bob`, ...quick })
    const body = JSON.stringify({ sessionId: 'of-ada', message: 'Hello' })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${ada}` }
    expect((await openChat(main.url, { sessionId: 'x', message: 'Hello' })).status).toBe(401)
    const response = await fetch(`${main.url}/chat/sse`, { method: 'POST', headers, body })
    expect((await framesOf(response)).at(-1)?.type).toBe('done')
    const target = `${main.url}/trpc/sessions.get?input=${encodeURIComponent('{"sessionId":"of-ada"}')}`
    expect(await statusOf(target, { authorization: `Bearer ${ada}` })).toBe(200)
    expect(await statusOf(target, { authorization: `Bearer ${bob}` })).toBe(404)
  })
})

describe('a failing start', () => {
  test.each([
    ['a wrong value', { PORT: 'http' }, 'PORT must be a whole number from 0 to 65535'],
    ['an open address without tokens', { HOST: '0.0.0.0' }, 'HOST lets other machines in'],
    [
      'an unreachable MongoDB',
      { MONGODB_URI: 'mongodb://u:pass4711@127.0.0.1:9/?replicaSet=x' },
      'No MongoDB answers for database verbatim of mongodb://127.0.0.1:9;',
    ],
  ])('a start with %s ends with an error in one sentence', async (_name, env, sentence) => {
    await using main = runMain({ env: { PORT: '0', ...env } })
    expect(await main.exitCode).toBe(1)
    expect(main.stderr).toMatch(/^Verbatim cannot run: .+\n$/)
    expect(main.stderr).toContain(sentence)
    expect(main.stderr).not.toContain('4711')
    expect(main.stdout).toBe('')
  })

  test('a start on a taken port fails at once and names the port', async () => {
    await using first = await startOnTestDatabase()
    const { port } = new URL(first.url)
    await using second = runMain({ env: { PORT: port, MONGODB_URI: inject('mongoUri') } })
    expect(await second.exitCode).toBe(1)
    expect(second.stderr).toContain(`PORT ${port} on 127.0.0.1 is in use`)
  })

  test('a start with an unknown argument names it', async () => {
    await using main = runMain({ args: ['--port'] })
    expect(await main.exitCode).toBe(1)
    expect(main.stderr).toContain('There is no argument --port; see --help')
  })
})

describe('encryption at rest', () => {
  /** A master key and a folder of keys that does not exist yet. */
  async function openKeyFolder() {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-main-keys-'))
    const env = { VERBATIM_KEY_FILE: join(folder, 'master'), VERBATIM_KEY_DIR: join(folder, 'keys') }
    await writeFile(env.VERBATIM_KEY_FILE, randomBytes(32).toString('base64'), { mode: 0o600 })
    return { env, [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true }) }
  }

  test('With a key file the server stores no word in clear, and another server with it reads them', async () => {
    await using keys = await openKeyFolder()
    await using database = await openTestDatabase(inject('mongoUri'))
    const env = { MONGODB_URI: inject('mongoUri'), VERBATIM_DATABASE: database.databaseName, ...keys.env }
    await using first = await startMain(env)
    await (await openChat(first.url, { sessionId: 's', message: 'the zebrafish' })).text()
    const stored = await database.client.db(database.databaseName).collection('messages').find().toArray()
    expect(stored.length).toBe(2)
    expect(stored.some((message) => Array.isArray(message['content']))).toBe(false)
    expect((await database.client.db(database.databaseName).collection('sessions').findOne())?.['title']).not.toBe(
      'the zebrafish',
    )
    await using second = await startMain(env)
    const input = encodeURIComponent(JSON.stringify({ sessionId: 's' }))
    const answer = await (await fetch(`${second.url}/trpc/messages.list?input=${input}`)).text()
    expect(answer).toContain('the zebrafish')
  })

  test('A key file that others can read ends the start with one sentence that says how to mend it', async () => {
    await using keys = await openKeyFolder()
    const env = { PORT: '0', MONGODB_URI: inject('mongoUri'), ...keys.env }
    await chmod(keys.env.VERBATIM_KEY_FILE, 0o644)
    await using main = runMain({ env })
    expect(await main.exitCode).toBe(1)
    expect(main.stderr).toContain(`run: chmod 600 ${keys.env.VERBATIM_KEY_FILE}`)
    expect(main.stderr.trim().split('\n')).toHaveLength(1)
  })
})

test('--help lists the settings and ends.', async () => {
  await using main = runMain({ args: ['--help'] })
  expect(await main.exitCode).toBe(0)
  expect(main.stdout).toMatch(/^ {2}PORT .+\[8787\]$/m)
})
