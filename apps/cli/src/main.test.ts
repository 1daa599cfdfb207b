import { Session } from '@verbatim/core'
import { createClient } from '@verbatim/client'
import type { VerbatimClient } from '@verbatim/client'
import { TcpProxy } from '@verbatim/test-kit/http'
import {
  beginning,
  blockStop,
  callEnd,
  callStart,
  promptOf,
  saying,
  startProviderOf,
  streaming,
  textBlock,
  textDelta,
} from '@verbatim/test-kit/provider'
import type { ProviderCall } from '@verbatim/test-kit/provider'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { runCommand } from './testing/run-command.ts'
import { startFleet } from './testing/start-fleet.ts'
import { startServer } from './testing/start-server.ts'
import type { TestServer } from './testing/start-server.ts'

/** Answers by prompt; `slow` goes on past its first words when the test says so. */
const gates = new Map<string, PromiseWithResolvers<void>>()

function gateOf(prompt: string): PromiseWithResolvers<void> {
  const gate = gates.get(prompt) ?? Promise.withResolvers<void>()
  gates.set(prompt, gate)
  return gate
}

async function answer(call: ProviderCall): Promise<void> {
  const prompt = promptOf(call)
  if (prompt.startsWith('refuse')) return call.refuse(400)
  if (prompt.startsWith('decline'))
    return await streaming(callStart(), ...textBlock('I can'), ...callEnd('refusal'))(call)
  if (!prompt.startsWith('slow')) return await saying('You said ', JSON.stringify(prompt), '. \u001B[31mRed.')(call)
  await beginning('one ', 'two ')(call)
  const hasHungUp = await Promise.race([gateOf(prompt).promise, call.hungUp])
  if (hasHungUp !== true) call.send(textDelta('three'), blockStop(), ...callEnd())
  call.end()
}

describe('the command', () => {
  let server: TestServer
  let client: VerbatimClient
  const held = new AsyncDisposableStack()

  beforeAll(async () => {
    const provider = held.use(await startProviderOf(() => answer))
    server = held.use(await startServer({ mongoUri: inject('mongoUri'), providerUrl: provider.url }))
    client = held.use(createClient({ url: server.url }))
  })
  afterAll(async () => await held.disposeAsync())

  const run = (args: readonly string[], options?: Parameters<typeof runCommand>[1]) =>
    runCommand([...args, '--url', server.url], options)

  /** A way to the server that a test can cut or hang. */
  const openWay = () => TcpProxy.start(() => [Number(new URL(server.url).port)])

  test('The chat command writes the answer to stdout exactly, the metrics to stderr, and nothing that moves', async () => {
    const command = run(['chat', 'Hello'])
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('You said "Hello". \u001B[31mRed.\n')
    expect(command.stderr).toMatch(/claude-sonnet-5-5 · 10 tokens in, 5 out · first token .+ · .+\n/)
    expect(command.stderr).toMatch(/verbatim chat --session \S+\n$/)
    for (const moving of ['\u001B', '\r', '⠋']) expect(command.stderr).not.toContain(moving)
  })

  test('takes the prompt from a pipe, lines and all', async () => {
    const command = run(['chat', '--session', 'piped'], { stdin: 'first line\nsecond line\n' })
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toContain('You said "first line\\nsecond line"')
    expect((await client.sessions.get('piped')).title).toBe('first line')
  })

  test('goes on in a session that is named', async () => {
    expect(await run(['chat', 'First', '--session', 'named']).exitCode).toBe(0)
    expect(await run(['chat', 'Second', '--session', 'named']).exitCode).toBe(0)
    expect((await client.sessions.get('named')).messageCount).toBe(4)
  })

  test('refuses an empty pipe', async () => {
    const command = run(['chat'], { stdin: ' \n' })
    expect(await command.exitCode).toBe(1)
    expect(command.stderr).toContain('There is no prompt')
  })

  test('stops the answer at Ctrl-C: what is there is shown and stored', async () => {
    const command = run(['chat', 'slow to be cancelled', '--session', 'cancelled'])
    await command.shows('two ')
    command.kill('SIGINT')
    expect(await command.exitCode).toBe(130)
    expect(command.stdout).toBe('one two \n')
    expect(command.stderr).toContain('Cancelled; what is above is kept.')
    const { items } = await client.messages.list('cancelled')
    expect(items.at(-1)).toMatchObject({ role: 'assistant', status: 'cancelled', content: [{ text: 'one two ' }] })
    expect((await client.sessions.get('cancelled')).activeRunId).toBeNull()
  })

  test('says that the model refused, and exits with 1', async () => {
    const command = run(['chat', 'decline this'])
    expect(await command.exitCode).toBe(1)
    expect(command.stdout).toBe('I can\n')
    expect(command.stderr).toContain('The model refused to answer; what is above is kept.')
  })

  test('leaves at the second Ctrl-C; the server goes on', async () => {
    const prompt = 'slow and left'
    const command = run(['chat', prompt, '--session', 'left'])
    await command.shows('two ')
    // A server that does not answer: the cancel cannot get through, so only the second Ctrl-C ends it.
    const hung = await openWay()
    const other = runCommand(['chat', 'slow over a hung way', '--session', 'hung', '--url', hung.url])
    await other.shows('two ')
    hung.blackhole(true)
    other.kill('SIGINT')
    await expect.poll(() => other.stderr).toContain('Ctrl-C again')
    other.kill('SIGINT')
    expect(await other.exitCode).toBe(130)
    await hung[Symbol.asyncDispose]()
    gateOf(prompt).resolve()
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('one two three\n')
    const { activeRunId } = await client.sessions.get('hung')
    gateOf('slow over a hung way').resolve()
    expect(await client.runs.follow(activeRunId!).message).toMatchObject({ status: 'completed' })
  })

  test('resumes an answer that is being made, from its first word, and goes on with it', async () => {
    const prompt = 'slow and resumed'
    const first = run(['chat', prompt, '--session', 'resumed'])
    await first.shows('two ')
    first.kill('SIGKILL')
    await first.exitCode
    const second = run(['resume', 'resumed'])
    await second.shows('one two ')
    gateOf(prompt).resolve()
    expect(await second.exitCode).toBe(0)
    expect(second.stdout).toBe(`> ${prompt}\n\none two three\n`)
  })

  test('shows the last messages of a session that is idle', async () => {
    await run(['chat', 'First', '--session', 'shown']).exitCode
    await run(['chat', 'Second', '--session', 'shown']).exitCode
    const command = run(['resume', 'shown'])
    expect(await command.exitCode).toBe(0)
    expect(command.stdout.match(/^(?:> )?\S+( \S+)?/gm)).toEqual(['> First', 'You said', '> Second', 'You said'])
  })

  test('goes on after a cut connection without a word lost or said twice', async () => {
    const prompt = 'slow over a cut'
    await using way = await openWay()
    const command = runCommand(['chat', prompt, '--url', way.url])
    await command.shows('two ')
    way.cut()
    await expect.poll(() => command.stderr).toContain('reconnecting')
    gateOf(prompt).resolve()
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('one two three\n')
    expect(command.stderr).toContain('Connected again')
  })

  test('tells in one sentence why there is no answer', async () => {
    const command = run(['chat', 'refuse this'])
    expect(await command.exitCode).toBe(1)
    expect(command.stdout).toBe('')
    expect(command.stderr).toMatch(/^.+\(PROVIDER_REFUSED\)\.$/m)
    expect(command.stderr).not.toMatch(/^ +at /m)
  })

  test('lists sessions as a table and as JSON', async () => {
    await run(['chat', 'Hello\u0007 there', '--session', 'listed']).exitCode
    const table = run(['sessions', '--limit', '100'])
    expect(await table.exitCode).toBe(0)
    expect(table.stdout).toMatch(/^SESSION +UPDATED +MESSAGES +TITLE$/m)
    expect(table.stdout).toMatch(/^listed +\d{4}-\d\d-\d\d \d\d:\d\d +2 +Hello/m)
    const list = run(['sessions', '--json', '--limit', '1'])
    expect(await list.exitCode).toBe(0)
    expect(
      Session.array()
        .parse(JSON.parse(list.stdout))
        .map(({ id }) => id),
    ).toEqual(['listed'])
  })

  test.each([
    [['resume', 'nowhere'], 'You have no session nowhere; `verbatim sessions` lists those you have.'],
    [['chat', 'x', '--session', 'a b'], 'INVALID_INPUT'],
    [['sessions', '--limit', 'many'], 'It must be a whole number over 0.'],
    [['talk'], "unknown command 'talk'"],
  ])('refuses %j in a sentence', async (args, sentence) => {
    const command = args[0] === 'talk' ? runCommand(args) : run(args)
    expect(await command.exitCode).toBe(1)
    expect(command.stderr).toContain(sentence)
    expect(command.stdout).toBe('')
  })
})

describe('an answer whose process is lost', () => {
  const hang = (): AsyncIterable<never> => ({
    [Symbol.asyncIterator]: () => ({ next: () => Promise.withResolvers<never>().promise }),
  })
  const first = async function* () {
    yield 'One, two, '
    yield* hang()
  }
  const resume = (url: string) => runCommand(['resume', 's', '--url', url])

  /** A chat whose first process is lost after `One, two, `; another goes on with `rest`. */
  async function loseProcess(rest: AsyncIterable<string> | readonly string[]) {
    const fleet = await startFleet({ mongoUri: inject('mongoUri'), first: first(), rest })
    const command = runCommand(['chat', 'Count', '--session', 's', '--url', fleet.url])
    await command.shows('two, ')
    await fleet.takeOver()
    return { fleet, command }
  }

  test('is printed on over the seam, and told once, as whole', async () => {
    const { fleet, command } = await loseProcess(['three, four'])
    await using _fleet = fleet
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('One, two, three, four\n')
    expect(command.stderr).toContain('The process that answered was lost; another goes on')
    expect(command.stderr).not.toContain('interrupted')
  })

  test('is resumed as it was: the parts as one, without the prompt that the server wrote between them', async () => {
    const { fleet, command } = await loseProcess(['three, four'])
    await using _fleet = fleet
    expect(await command.exitCode).toBe(0)
    const resumed = resume(fleet.url)
    expect(await resumed.exitCode).toBe(0)
    expect(resumed.stdout).toBe('> Count\n\nOne, two, three, four\n\n')
    expect(resumed.stderr).toBe('')
  })

  test('is resumed in the middle of its second part', async () => {
    const gate = Promise.withResolvers<void>()
    const rest = async function* () {
      yield 'three, '
      await gate.promise
      yield 'four'
    }
    const { fleet, command } = await loseProcess(rest())
    await using _fleet = fleet
    await command.shows('three, ')
    const resumed = resume(fleet.url)
    await resumed.shows('three, ')
    gate.resolve()
    expect(await resumed.exitCode).toBe(0)
    expect(resumed.stdout).toBe('> Count\n\nOne, two, three, four\n')
    expect(await command.exitCode).toBe(0)
  })
})

describe('a server with tokens', () => {
  test('A command sends the token of --token or of the environment, and explains a refusal in a sentence', async () => {
    const token = 'the-token-of-ada-0123456789'
    await using provider = await startProviderOf(() => answer)
    await using server = await startServer({
      mongoUri: inject('mongoUri'),
      providerUrl: provider.url,
      tokens: `${token}=ada`,
    })
    const refused = runCommand(['sessions', '--url', server.url])
    expect(await refused.exitCode).toBe(1)
    expect(refused.stderr).toBe('The server does not know you; pass --token or set VERBATIM_TOKEN.\n')
    expect(await runCommand(['sessions', '--url', server.url, '--token', token]).exitCode).toBe(0)
    const env = { VERBATIM_URL: server.url, VERBATIM_TOKEN: token }
    expect(await runCommand(['sessions'], { env }).exitCode).toBe(0)
  })
})

test('A command reports at once that no server answers', async () => {
  const command = runCommand(['chat', 'Hello', '--url', 'http://127.0.0.1:9'])
  expect(await command.exitCode).toBe(1)
  expect(command.stderr).toBe('No server answers at http://127.0.0.1:9; is `npm start` running?\n')
})

test.each([[['--help']], [['chat', '--help']], [['resume', '--help']], [['sessions', '--help']]])(
  '%j explains itself',
  async (args) => {
    const command = runCommand(args)
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toContain('Usage: verbatim')
  },
)
