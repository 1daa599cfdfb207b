import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RunEvent, Session, textOfEvent } from '@verbatim/core'
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
  textStart,
} from '@verbatim/test-kit/provider'
import type { ProviderCall } from '@verbatim/test-kit/provider'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { runCommand } from './testing/run-command.ts'
import { runInTerminal } from './testing/run-in-terminal.ts'
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

/** Cites a page, a page whose title moves the cursor, and an address that is no link. */
const citing = streaming(
  callStart(),
  textStart(),
  ...[
    { url: 'https://cats.example/', title: 'Grey cats' },
    { url: 'https://dogs.example/', title: 'Dogs \u001B[2J\nat night' },
    { url: 'javascript:alert(1)', title: 'Free cats' },
  ].map((page) => ({
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'citations_delta', citation: { type: 'web_search_result_location', cited_text: 'x', ...page } },
  })),
  textDelta('Grey.'),
  blockStop(),
  ...callEnd(),
)

async function answer(call: ProviderCall): Promise<void> {
  const prompt = promptOf(call)
  if (prompt.startsWith('refuse')) return call.refuse(400)
  if (prompt.startsWith('decline'))
    return await streaming(callStart(), ...textBlock('I can'), ...callEnd('refusal'))(call)
  if (prompt.startsWith('markdown')) return await saying('# Title\n\n**bold** and `co', 'de` \u001B[31mred\n')(call)
  if (prompt.startsWith('search')) return await citing(call)
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

  test('The chat command sends the files that --file names, and says in one line why one is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-'))
    const [picture, program] = [join(folder, 'tree.png'), join(folder, 'program')]
    await writeFile(picture, Buffer.from('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4', 'hex'))
    await writeFile(program, Buffer.from([1, 2, 3, 0]))
    const sessionId = crypto.randomUUID()
    const command = run(['chat', 'Hello', '--session', sessionId, '-f', picture])
    expect([await command.exitCode, command.stderr]).toEqual([0, expect.stringContaining('Sending tree.png')])
    const { items } = await client.messages.list(sessionId)
    const source = { type: 'attachment', attachment_id: expect.any(String) }
    expect(items[0]?.content).toEqual([
      { type: 'image', source, alt: 'tree.png' },
      { type: 'text', text: 'Hello' },
    ])
    const refused = run(['chat', 'Hello', '-f', program])
    expect(await refused.exitCode).toBe(1)
    expect(refused.stderr).toContain('takes files of these types')
    const missing = run(['chat', 'Hello', '-f', join(folder, 'nowhere')])
    expect(await missing.exitCode).toBe(1)
    expect(missing.stderr).toContain('cannot be read')
    await rm(folder, { recursive: true })
  })

  test('The chat command writes the answer to stdout exactly, the metrics to stderr, and nothing that moves', async () => {
    const command = run(['chat', 'Hello'])
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('You said "Hello". \u001B[31mRed.\n')
    expect(command.stderr).toMatch(/claude-sonnet-5-5 · 10 tokens in, 5 out · first token .+ · .+\n/)
    expect(command.stderr).toMatch(/verbatim chat --session \S+\n$/)
    for (const moving of ['\u001B', '\r', '⠋']) expect(command.stderr).not.toContain(moving)
  })

  test('The sources of an answer are a short list after it, without what moves the cursor, and not part of the answer', async () => {
    const command = run(['chat', 'search for cats'])
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toBe('Grey.\n')
    expect(command.stderr).toContain(
      'Sources:\n  1. Grey cats https://cats.example/\n  2. Dogs [2J at night https://dogs.example/\n  3. Free cats\n',
    )
    expect(command.stderr).not.toContain('\u001B')
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

  test('A prompt that is named comes first, and after it what comes through the pipe', async () => {
    const command = run(['chat', 'review this'], { stdin: 'diff --git a b\n+line\n' })
    expect(await command.exitCode).toBe(0)
    expect(command.stdout).toContain('You said "review this\\n\\ndiff --git a b\\n+line".')
  })

  test('--continue goes on with the session used last, and refuses when a session is named too', async () => {
    expect(await run(['chat', 'First', '--session', 'used-last']).exitCode).toBe(0)
    const command = run(['chat', 'Second', '--continue'])
    expect(await command.exitCode).toBe(0)
    expect(command.stderr).not.toContain('Go on with')
    expect((await client.sessions.get('used-last')).messageCount).toBe(4)
    const both = run(['chat', 'Third', '--continue', '--session', 'used-last'])
    expect(await both.exitCode).toBe(1)
    expect(both.stderr).toContain('not both')
    expect((await client.sessions.get('used-last')).messageCount).toBe(4)
  })

  test('--continue names a command that can be typed when the session is being answered, and says when there is no session', async () => {
    await using slow = client.chat('in-answer').send('slow to continue')
    await expect.poll(() => slow.answer.lastSeq).toBeGreaterThan(1)
    const command = run(['chat', 'And then?', '--continue'])
    expect(await command.exitCode).toBe(1)
    expect(command.stderr).toContain('verbatim resume in-answer`')
    gateOf('slow to continue').resolve()
    await slow.message
  })

  test('--json prints the events of the answer, one a line, and nothing else', async () => {
    const command = run(['chat', 'Hello', '--session', 'as-events', '--json'])
    expect(await command.exitCode).toBe(0)
    const events = command.stdout
      .trimEnd()
      .split('\n')
      .map((line) => RunEvent.parse(JSON.parse(line)))
    expect(events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1])).toEqual([
      'run_started',
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
      'run_completed',
    ])
    expect(events.map(textOfEvent).join('')).toBe('You said "Hello". \u001B[31mRed.')
  })

  test('--json exits as the text form does when the run fails, with the event that says why', async () => {
    const command = run(['chat', 'refuse this', '--json'])
    expect(await command.exitCode).toBe(1)
    expect(RunEvent.parse(JSON.parse(command.stdout.trimEnd().split('\n').at(-1)!))).toMatchObject({
      type: 'run_failed',
      error: { code: 'PROVIDER_REFUSED' },
    })
  })

  test('rename gives a session another title, and delete takes it away after --yes only', async () => {
    await run(['chat', 'Hello', '--session', 'edited']).exitCode
    expect(await run(['rename', 'edited', 'A better title']).exitCode).toBe(0)
    expect((await client.sessions.get('edited')).title).toBe('A better title')
    const asking = run(['delete', 'edited'])
    expect(await asking.exitCode).toBe(1)
    expect(asking.stderr).toContain('pass --yes')
    expect((await client.sessions.get('edited')).messageCount).toBe(2)
    const deleting = run(['delete', 'edited', '--yes'])
    expect(await deleting.exitCode).toBe(0)
    expect(deleting.stderr).toBe('Session edited is deleted.\n')
    await expect(client.sessions.get('edited')).rejects.toMatchObject({ code: 'SESSION_DELETED' })
  })

  test('Ctrl-C prints no error, although the answer ends before the call that cancels it does', async () => {
    const command = run(['chat', 'slow to be stopped', '--session', 'stopped'])
    await command.shows('two ')
    command.kill('SIGINT')
    expect(await command.exitCode).toBe(130)
    expect(command.stderr.split('\n').filter((line) => line !== '' && !line.includes(' tokens in, '))).toEqual([
      'Cancelling; press Ctrl-C again to leave without waiting',
      'Cancelled; what is above is kept.',
    ])
  })

  test('The table of sessions measures wide characters as the terminal shows them', async () => {
    await client.sessions.create({ sessionId: 'wide', title: '你好'.repeat(40) })
    await client.sessions.create({ sessionId: 'family', title: '👨‍👩‍👧‍👦'.repeat(25) })
    const table = run(['sessions', '--limit', '100'])
    expect(await table.exitCode).toBe(0)
    const titleOf = (id: string) => new RegExp(`^${id} .*  (\\S+)$`, 'm').exec(table.stdout)?.[1]
    expect(titleOf('wide')).toBe(`${'你好'.repeat(11)}你…`)
    expect(titleOf('family')).toBe(`${'👨‍👩‍👧‍👦'.repeat(23)}…`)
  })

  test('A person on a terminal talks, reads Markdown with weight and colour, and starts another session', async () => {
    await using person = runInTerminal(['chat', '--url', server.url])
    await person.shows('/help')
    person.type('markdown please\r')
    await person.shows('\u001B[1m# Title\u001B[22m')
    await person.shows('\u001B[36m`code`\u001B[39m')
    expect(person.screen).not.toContain('\u001B[31m') // what a model says moves and colours nothing
    await person.shows('tokens in')
    await person.shows('> ')
    person.type('/help\r')
    await person.shows('begins another session')
    person.type('/unknown\r')
    await person.shows('There is no command /unknown')
    const first = /Session (\S+)/.exec(person.screen)?.[1]
    person.type('/new\r')
    await expect.poll(() => new Set(person.screen.match(/Session [\da-f-]{36}/g)).size).toBe(2)
    person.type('exit\r') // as in a shell: the model is not asked
    expect(await person.exitCode).toBe(0)
    expect((await client.sessions.get(first!)).messageCount).toBe(2)
  })

  test('A person who stops an answer by Ctrl-C goes on in the same conversation, and leaves by another one', async () => {
    await using person = runInTerminal(['chat', '--session', 'stopped-by-keys', '--url', server.url])
    await person.shows('/help')
    person.type('slow to be stopped by keys\r')
    await person.shows('two ')
    person.type('\u0003')
    await person.shows('Cancelled; what is above is kept.')
    person.type('Hello again\r')
    await person.shows('You said "Hello again"')
    await person.shows('tokens in')
    await person.shows('> ')
    person.type('\u0003')
    expect(await person.exitCode).toBe(0)
    expect(person.screen).not.toMatch(/error|could not/i)
  })

  test('delete asks a person on a terminal, and anything but yes keeps the session', async () => {
    await client.sessions.create({ sessionId: 'asked', title: 'Keep me' })
    const answerWith = async (keys: string) => {
      await using person = runInTerminal(['delete', 'asked', '--url', server.url])
      await person.shows('Delete "Keep me" with its 0 messages, for good? [y/N]')
      person.type(keys)
      return await person.exitCode
    }
    expect(await answerWith('\r')).toBe(1)
    expect(await answerWith('\u0003')).toBe(1)
    expect((await client.sessions.get('asked')).title).toBe('Keep me')
    expect(await answerWith('y\r')).toBe(0)
    await expect(client.sessions.get('asked')).rejects.toMatchObject({ code: 'SESSION_DELETED' })
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
    const list = run(['list', '--json', '--limit', '1'])
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
    [['talk'], "unknown command 'talk'\nSee verbatim --help"],
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

test.each([
  [['--help']],
  [['chat', '--help']],
  [['resume', '--help']],
  [['sessions', '--help']],
  [['delete', '--help']],
])('%j explains itself', async (args) => {
  const command = runCommand(args)
  expect(await command.exitCode).toBe(0)
  expect(command.stdout).toContain('Usage: verbatim')
})

test('--version tells the version of the package', async () => {
  const command = runCommand(['--version'])
  expect(await command.exitCode).toBe(0)
  expect(command.stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test.each([
  [{ npm_command: 'exec' }, 'Usage: npx verbatim'],
  [{ npm_command: 'run', npm_lifecycle_event: 'verbatim' }, 'Usage: npm run -s verbatim --'],
  [{}, 'Usage: verbatim'],
])('Under %j the command names itself as a person can type it', async (env, usage) => {
  const command = runCommand(['--help'], { env })
  expect(await command.exitCode).toBe(0)
  expect(command.stdout).toContain(usage)
})
