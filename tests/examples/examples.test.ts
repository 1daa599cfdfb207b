/** Every example as its reader starts it: a program of its own, on a real MongoDB, with the real SDK and a provider that judges it. */
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createGate, openTestDatabase } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { freePort } from '@verbatim/test-kit/http'
import { runProgram, startServerProgram } from '@verbatim/test-kit/process'
import type { ProgramOptions, RunningProgram } from '@verbatim/test-kit/process'
import {
  callEnd,
  callStart,
  saying,
  startProviderOf,
  streaming,
  textDelta,
  textStart,
  toolBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderReply } from '@verbatim/test-kit/provider'
import { chromium } from 'playwright-core'
import { describe, expect, inject, it, vi } from 'vitest'
import { ensureChromium } from '../support/chromium.ts'
import { env } from '../support/env.ts'
import { waitOptions } from '../support/follow.ts'

// Several programs run at a time, and each reads our sources.
vi.setConfig({ testTimeout: 90_000 })

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))
const fileOf = (program: string) => new URL(`../../examples/${program}.ts`, import.meta.url)
const answer = saying('Hello from ', 'the model.')
const said = 'Hello from the model.'
const json = { 'content-type': 'application/json', authorization: 'Bearer secret' }

/** A database of its own and a model that says `reply`, as the environment of an example. */
async function openWorld(reply: ProviderReply = answer) {
  await using stack = new AsyncDisposableStack()
  const database: TestDatabase = stack.use(await openTestDatabase(inject('mongoUri')))
  const provider = stack.use(await startProviderOf(() => reply))
  const settings = {
    PATH: env['PATH'],
    PORT: '0',
    MONGODB_URI: inject('mongoUri'),
    VERBATIM_DATABASE: database.databaseName,
    ANTHROPIC_BASE_URL: provider.url,
    ANTHROPIC_API_KEY: 'sk-ant-example',
  }
  const opened = stack.move()
  return {
    database,
    provider,
    settings,
    db: database.client.db(database.databaseName),
    run: (program: string, options: ProgramOptions = {}) =>
      runProgram(fileOf(program), { ...options, env: { ...settings, ...options.env } }),
    serve: (program: string, env: Readonly<Record<string, string>> = {}) =>
      startServerProgram(fileOf(program), { env: { ...settings, ...env } }),
    async [Symbol.asyncDispose]() {
      expect(provider.complaints).toEqual([])
      await opened.disposeAsync()
    },
  }
}

/** What a program printed, once it has ended as it should. */
async function outputOf(program: RunningProgram): Promise<string> {
  const code = await program.exitCode
  if (code !== 0) throw new Error(`The program ended with ${code}: ${program.stderr}`)
  return program.stdout
}

it.concurrent.each([
  ['basic-streaming/main', `Assistant: ${said}\n[Stream complete]\n`],
  ['complete-pattern/main', `${said}\n2 messages are stored\n`],
  ['complete-pattern/global', said],
  ['resume/main', 'Goes on after 0 messages\nNothing lost, nothing doubled\n'],
  ['timeout/main', 'failed RUN_TIMEOUT idle\ncancelled "Let me think "\n'],
  ['error-handling/main', 'The answer is \n[INTERNAL]\nfailed "The answer is "\ncompleted "The answer is 42."\n'],
  ['own-agent/main', 'Hello ada, you said: Good morning\nOne, two, three. (6 tokens)\nOnly this time.\n'],
  ['any-model/main', `${said}\n${said} (claude-sonnet-5-5)\n`],
  ['strands-agent/main', 'It is sunny in Bern, ada.\ntool_use, tool_result, text: 24 tokens\n'],
  ['strands-agent/session', '10 messages are stored, 4 are in the window\nThat was message 5.\nHEAD_MOVED\n'],
  ['strands-agent/graph', 'COMPLETED, stored 3 times\n'],
  ['own-loop/main', 'You asked: Explain async programming\n21 tokens are stored with message 2\n'],
])('The example %s prints what it promises and ends by itself', async (program, printed) => {
  await using world = await openWorld()
  await using running = world.run(program)
  expect(await outputOf(running)).toBe(printed)
})

it.concurrent.each([
  ['basic-streaming/events', /^\[text\] Hello from the model\.\n\[Stream complete, \d+ tokens\]\n$/],
  [
    'metrics/main',
    /^Latency: [\d.]+ ms, first token after [\d.]+ ms\nTokens: (\d+) in, (\d+) out, (\d+) in total\nStored: \3 tokens by claude\nIn MongoDB: \3 tokens\n$/,
  ],
  ['clean-up/main', /^Drained: .*completed: 1/],
])('The example %s prints what it measures and ends by itself', async (program, printed) => {
  await using world = await openWorld()
  await using running = world.run(program)
  expect(await outputOf(running)).toMatch(printed)
})

it.concurrent('The example resume continues a conversation: the second start goes on after the messages of the first', async () => {
  await using world = await openWorld()
  for (const messages of [0, 2]) {
    await using running = world.run('resume/main')
    expect(await outputOf(running)).toContain(`Goes on after ${messages} messages`)
  }
  expect(world.provider.calls.at(-1)?.body.messages).toHaveLength(3)
})

it.concurrent('The example opentelemetry prints the spans of a turn with a tool and its metrics, and no word of the prompt', async () => {
  const ask = streaming(
    callStart(),
    ...toolBlock(0, { id: 'toolu_1', name: 'get_weather', input: { city: 'Rome' } }),
    ...callEnd('tool_use'),
  )
  let calls = 0
  await using world = await openWorld((call) => (calls++ === 0 ? ask(call) : answer(call)))
  await using running = world.run('opentelemetry/main')
  const printed = await outputOf(running)
  const names = [...printed.matchAll(/^ {2}name: '(.*)',$/gm)].map(([, name]) => name)
  const chat = 'chat claude-sonnet-5-5'
  const order = [chat, 'look up', 'execute_tool get_weather', chat, 'verbatim.end_run']
  expect(names.filter((name) => name !== 'invoke_agent claude').slice(0, 5)).toEqual(order)
  expect(new Set(printed.match(/traceId: '\w+'/g)).size).toBe(1)
  expect(printed).toContain('gen_ai.client.token.usage')
  expect(printed).not.toContain('the weather in Rome')
})

it.concurrent('The example opentelemetry takes the trace of a request, at the API and at a route of its own', async () => {
  await using world = await openWorld()
  await using server = await world.serve('opentelemetry/server')
  const traces = ['0af7651916cd43dd8448eb211c80319c', '1af7651916cd43dd8448eb211c80319c']
  const headersOf = (traceId?: string) => ({ ...json, traceparent: `00-${traceId}-b7ad6b7169203331-01` })
  const body = JSON.stringify({ sessionId: 'one', message: 'Hello' })
  const asked = await fetch(`${server.url}/chat/stream`, { method: 'POST', headers: headersOf(traces[0]), body })
  expect(await asked.text()).toBe('Emma is on shelf 4.')
  await fetch(`${server.url}/ask`, { headers: headersOf(traces[1]) })
  server.kill('SIGTERM')
  const printed = await outputOf(server)
  for (const traceId of traces) expect(printed).toContain(`traceId: '${traceId}'`)
  expect(printed).toContain('execute_tool find_book')
})

describe.concurrent.each(['express-server', 'hono-server'])('the example %s', (name) => {
  it('It serves plain text, resumable events and an endpoint of its own, and stops on SIGTERM', async () => {
    await using world = await openWorld()
    await using server = await world.serve(`${name}/main`)
    const post = async (path: string, body: object) =>
      await fetch(`${server.url}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) })
    const plain = await post('/api/chat/stream', { sessionId: 'plain', message: 'Hello' })
    expect(await plain.text()).toBe(said)
    const events = await post('/api/chat/sse', { sessionId: 'events', message: 'Hello' })
    expect(events.headers.get('content-type')).toContain('text/event-stream')
    const frames = await events.text()
    expect(frames).toContain('"type":"done"')
    const again = await fetch(`${server.url}/api/chat/sse/${events.headers.get('x-run-id')}`, { headers: json })
    expect(await again.text()).toContain('"type":"done"')
    expect(await (await post('/ask', { sessionId: 'own', prompt: 'Hello' })).text()).toBe(said)
    const own = await post('/ask/sse', { sessionId: 'own', prompt: 'Hello' })
    expect(await own.text()).toMatch(/data: \{"type":"token".*data: \{"type":"done"\}/s)
    const stranger = await fetch(`${server.url}/api/chat/stream`, { method: 'POST', body: '{}' })
    expect(stranger.status).toBe(401)
    server.kill('SIGTERM')
    expect(await outputOf(server)).toContain(server.url)
  })
})

async function openBrowser() {
  const browser = await chromium.launch({
    executablePath: await ensureChromium(),
    args: ['--no-sandbox', '--disable-gpu'],
  })
  return {
    newPage: async () => await browser.newPage(),
    [Symbol.asyncDispose]: async () => await browser.close(),
  }
}

it.concurrent('The example react-chat shows an answer as it comes, also after a reload in its middle', async () => {
  const gate = createGate()
  await using world = await openWorld(async (call) => {
    call.send(callStart(), textStart(0), textDelta('Half of it'))
    await gate.pass()
    call.finish(' and the rest')
  })
  await using server = await world.serve('react-chat/main')
  await using browser = await openBrowser()
  const page = await browser.newPage()
  await page.goto(server.url)
  await page.getByLabel('Prompt').fill('Hello')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByText('Half of it').waitFor()
  await page.reload()
  await page.getByText('Half of it').waitFor()
  gate.release()
  await page.getByText('Half of it and the rest').waitFor()
  expect(await page.getByText('Half of it').count()).toBe(1)
})

it.concurrent('The example ai-sdk-chat is an unmodified useChat: its answer survives a reload, a second tab and a killed server, and stops', async () => {
  let calls = 0
  const gate = createGate()
  const resumption = createGate()
  await using world = await openWorld(async (call) => {
    const nth = ++calls
    // An answer that has ended before the page comes back is there after a reload only.
    if (nth === 2) await resumption.pass()
    call.send(callStart(), textStart(0), textDelta(['Half of it', ' and the rest', 'Slowly'][nth - 1] ?? 'More'))
    if (nth !== 2) await gate.pass()
    call.finish()
  })
  await using browser = await openBrowser()
  const [page, tab] = [await browser.newPage(), await browser.newPage()]
  const port = await freePort()
  {
    await using killed = await world.serve('ai-sdk-chat/main', { PORT: String(port) })
    await page.goto(killed.url)
    await page.getByLabel('Prompt').fill('Hello')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByText('Half of it').waitFor()
    await page.reload()
    await tab.goto(killed.url)
    for (const one of [page, tab]) await one.getByText('Half of it').waitFor()
    await page.bringToFront() // the browser draws the page in front alone
    killed.kill('SIGKILL')
    await killed.exitCode
  }
  await page.getByText('The connection was lost').waitFor()
  // The lease of the dead process expires, here without a wait for it.
  await world.db.collection('runs').updateMany({}, { $set: { 'lease.renewedAt': new Date(0) } })
  await using server = await world.serve('ai-sdk-chat/main', { PORT: String(port) })
  const resumed = page.waitForResponse((response) => response.url().endsWith('/stream'))
  await page.getByRole('button', { name: 'Continue' }).click()
  expect((await resumed).status()).toBe(200)
  resumption.open()
  await tab.goto(server.url)
  for (const one of [page, tab]) {
    await one.getByText('assistant Half of it and the rest', { exact: true }).waitFor()
    expect(await one.getByText('assistant').count()).toBe(1)
  }
  await page.getByLabel('Prompt').fill('And now?')
  await page.getByRole('button', { name: 'Send' }).click()
  await page.getByText('Slowly').waitFor()
  await page.getByRole('button', { name: 'Stop' }).click()
  await vi.waitFor(
    async () => expect(await world.db.collection('runs').countDocuments({ status: 'cancelled' })).toBe(1),
    waitOptions,
  )
  await tab.reload()
  await tab.getByText('Slowly').waitFor()
  expect(await tab.getByRole('button', { name: 'Send' }).isEnabled()).toBe(true)
  gate.open()
})

it.concurrent('The example service-to-service does a job once, although its worker is killed in the middle of it', async () => {
  const gate = createGate()
  await using world = await openWorld(async (call) => {
    call.send(callStart(), textStart(0), textDelta('First half, '))
    await gate.pass()
    call.finish('second half')
  })
  const place = await mkdtemp(join(tmpdir(), 'verbatim-example-'))
  try {
    await using server = await world.serve('service-to-service/server')
    const file = join(place, 'job-1.json')
    const job = { args: ['job-1', file], env: { VERBATIM_URL: server.url } }
    await using killed = world.run('service-to-service/worker', job)
    await vi.waitFor(async () => expect(await readFile(file, 'utf8')).toContain('First half'), waitOptions)
    killed.kill('SIGKILL')
    await killed.exitCode
    await using again = world.run('service-to-service/worker', job)
    gate.release()
    expect(await outputOf(again)).toBe('Done: 23 characters\n')
    await using third = world.run('service-to-service/worker', job)
    expect(await outputOf(third)).toBe('Done: 23 characters\n')
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ text: 'First half, second half', done: true })
    expect(await world.db.collection('messages').countDocuments()).toBe(2)
    expect(world.provider.calls).toHaveLength(1)
  } finally {
    await rm(place, { recursive: true })
  }
})

it.concurrent('The example leave-redis is an AI SDK app with resumable-stream: a patch of 15 lines makes its streams ours, and its own tests pass', async () => {
  const patch = readFileSync(join(folder, 'leave-redis/leave-redis.patch'), 'utf8')
  expect(patch.match(/^[+-](?![+-])/gm)?.length).toBeLessThanOrEqual(15)
  await using world = await openWorld()
  await using running = world.run('leave-redis/main', { args: ['--test'] })
  expect(await outputOf(running)).toContain('pass 3')
  expect(await world.db.collection('messages').countDocuments()).toBe(4)
})

it.concurrent('An example runs without a key through `npm run example`: the local demo model answers', async () => {
  await using world = await openWorld()
  const { PATH, MONGODB_URI, VERBATIM_DATABASE } = world.settings
  await using running = runProgram(fileOf('run'), {
    args: ['basic-streaming'],
    env: { PATH, MONGODB_URI, VERBATIM_DATABASE },
  })
  expect(await outputOf(running)).toMatch(/local demo model.*\[Stream complete\]/s)
})

it('Every example has a README of about ten lines that names its programs, and a test above', () => {
  const own = readFileSync(fileURLToPath(import.meta.url), 'utf8')
  const examples = globSync('*/*.ts', { cwd: folder }).filter((file) => !file.endsWith('vite.config.ts'))
  expect(examples.length).toBeGreaterThan(12)
  for (const file of examples) {
    const readme = join(folder, dirname(file), 'README.md')
    const text = readFileSync(readme, 'utf8')
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(14)
    expect(text).toContain(`npm run example -- ${dirname(file)}`)
    expect(own).toContain(dirname(file))
  }
})
