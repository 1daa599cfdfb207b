/** Content beyond text, judged by the strict provider: tools that it runs, blocks of any type, images, documents, files. */
import {
  blockStop,
  callEnd,
  callStart,
  saying,
  serverToolBlock,
  startProvider,
  textBlock,
  textDelta,
  textStart,
  toolBlock,
  wholeBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderEvent, ProviderReply, RequestBlock } from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { ContentBlock } from '../contract/content-block.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { DocumentBlock, ImageBlock } from '../contract/media-block.ts'
import type { PromptBlock } from '../contract/prompt.ts'
import type { AttachedFile, AttachmentReader } from '../ports/agent.ts'
import { claude, resultBlocks, tool } from './claude.ts'
import { openSession, thoughtOf, thoughtsIn, yes } from './testing/agent-session.ts'
import { ask, claudeAt, collect, never, requestOf } from './testing/ask-agent.ts'

const search = { id: 'srvtoolu_1', name: 'web_search', input: { query: 'grey cats' } }
const found = {
  type: 'web_search_tool_result',
  tool_use_id: 'srvtoolu_1',
  content: [
    { type: 'web_search_result', url: 'https://example.com/cats', title: 'Cats', encrypted_content: 'EqgfCioI' },
  ],
  caller: { type: 'direct' },
}
const citation = {
  type: 'web_search_result_location',
  cited_text: 'All cats are grey.',
  url: 'https://example.com/cats',
  title: 'Cats',
  encrypted_index: 'Eo8BCioI',
}

/** One reply after another; then it says yes. */
function inTurn(...replies: readonly ProviderReply[]): ProviderReply {
  let nth = 0
  return (call) => (replies[nth++] ?? yes)(call)
}

function answering(...events: readonly ProviderEvent[]): ProviderReply {
  return ending('end_turn', ...events)
}

function ending(stopReason: string, ...events: readonly ProviderEvent[]): ProviderReply {
  return (call) => {
    call.send(callStart({ input: call.tokens }), ...events, ...callEnd(stopReason))
    call.end()
  }
}

const searching = [
  ...textBlock('Let me look.'),
  ...serverToolBlock(1, search),
  ...wholeBlock(2, found),
  textStart(3),
  { type: 'content_block_delta', index: 3, delta: { type: 'citations_delta', citation } },
  textDelta('Grey.', 3),
  blockStop(3),
]

/** The content of the answers in a request. */
function answersIn({ body }: ProviderCall): RequestBlock[] {
  return body.messages.filter(({ role }) => role === 'assistant').flatMap(({ content }) => content)
}

function lastUserBlocks({ body }: ProviderCall): readonly RequestBlock[] {
  return body.messages.at(-1)?.content ?? []
}

describe('tools that the provider runs', () => {
  it('a request names the server tools after those of the agent, in the version that every model takes', async () => {
    const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => '' })
    const own = { type: 'web_fetch_20260318', name: 'web_fetch', max_uses: 3 }
    const { calls } = await ask([saying('Hi')], { tools: [look], serverTools: ['web_search', own, 'code_execution'] })
    expect(calls[0]!.body['tools']).toEqual([
      expect.objectContaining({ name: 'look' }),
      { type: 'web_search_20250305', name: 'web_search' },
      own,
      { type: 'code_execution_20250825', name: 'code_execution' },
    ])
  })

  it('two tools of one name are refused when the agent is made', () => {
    const look = tool({ name: 'web_search', description: 'Looks', input: z.object({}), run: () => '' })
    expect(() => claude({ apiKey: 'k', tools: [look], serverTools: ['web_search'] })).toThrow(VerbatimError)
  })

  it('calls, results and citations are kept and go back as they came', async () => {
    await using session = await openSession(inTurn(answering(...searching)))
    const agent = session.agent({ serverTools: ['web_search'] })
    const { content } = await session.prompt(agent)
    expect(content).toEqual([
      { type: 'text', text: 'Let me look.' },
      { type: 'server_tool_use', ...search },
      found,
      { type: 'text', text: 'Grey.', citations: [citation] },
    ])
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    expect(answersIn(session.provider.calls[1]!)).toEqual(content)
  })

  it('a block of an unknown type is put together from deltas of unknown types and goes back whole', async () => {
    const events = [
      { type: 'content_block_start', index: 0, content_block: { type: 'hologram', parts: [1], label: 'a', depth: 1 } },
      { type: 'content_block_delta', index: 0, delta: { type: 'hologram_delta', parts: [2, { x: 3 }], label: 'b' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '{"at":' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json: '1}' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'depth_delta', depth: 7 } },
      blockStop(0),
      ...textBlock('See?', 1),
    ]
    await using session = await openSession(inTurn(answering(...events)))
    const { events: said, content } = await session.prompt(session.agent())
    const whole = { type: 'hologram', parts: [1, 2, { x: 3 }], label: 'ab', depth: 7, input: { at: 1 } }
    expect(content[0]).toEqual(whole)
    expect(said.filter(({ type }) => type === 'content_block')).toHaveLength(1)
    await session.prompt(session.agent())
    expect(session.provider.complaints).toEqual([])
    expect(answersIn(session.provider.calls[1]!)[0]).toEqual(whole)
  })

  it('a block that is still open keeps its place when another one begins', async () => {
    const events = [
      { type: 'content_block_start', index: 0, content_block: { type: 'hologram', label: 'a' } },
      ...textBlock('See?', 1),
      { type: 'content_block_delta', index: 0, delta: { type: 'hologram_delta', label: 'b' } },
      blockStop(0),
    ]
    await using session = await openSession(answering(...events))
    const { content, error } = await session.prompt(session.agent())
    expect(error).toBeUndefined()
    expect(content).toEqual([
      { type: 'hologram', label: 'ab' },
      { type: 'text', text: 'See?' },
    ])
  })

  it('numbers of a block of an unknown type stay as they are', async () => {
    const block = { type: 'hologram', small: -0.0000011792143122716101, safe: 1234567890123456, power: 1e21 }
    const { events } = await ask([answering(...wholeBlock(0, block), ...textBlock('See?', 1))])
    expect(events.find(({ type }) => type === 'content_block')).toMatchObject({ content_block: block })
  })

  it('a known block of a provider without what it must have is a typed error that names the field', async () => {
    const { error } = await ask([answering(...wholeBlock(0, { type: 'web_search_tool_result' }))], { maxRetries: 0 })
    expect(error).toMatchObject({
      code: 'PROVIDER_ERROR',
      data: { kind: 'malformed', field: 'content_block_start.content_block.tool_use_id' },
    })
  })

  it('an answer that paused goes on from its own words, and its thinking holds afterwards', async () => {
    const paused: ProviderReply = (call) => {
      call.send(callStart(), ...thoughtOf(call), ...serverToolBlock(1, search), ...callEnd('pause_turn'))
      call.end()
    }
    const rest: ProviderReply = (call) => {
      call.send(
        callStart(),
        ...wholeBlock(0, found),
        ...thoughtOf(call, 1, [found]),
        ...textBlock('Grey.', 2),
        ...callEnd(),
      )
      call.end()
    }
    await using session = await openSession(inTurn(paused, rest))
    const agent = session.agent({ serverTools: ['web_search'] })
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    const [, second, third] = session.provider.calls
    expect(second?.body.messages.at(-1)?.content.map(({ type }) => type)).toEqual(['thinking', 'server_tool_use'])
    expect(third?.body.messages.map(({ content }) => content.map(({ type }) => type))).toEqual([
      ['text'],
      ['thinking', 'server_tool_use', 'web_search_tool_result', 'thinking', 'text'],
      ['text'],
    ])
    expect(thoughtsIn(session.provider)).toEqual([0, 1, 2])
  })

  it('an answer that paused after a thought goes on, and no later request holds thoughts that do not fit', async () => {
    const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => 'seen' })
    const paused: ProviderReply = (call) => {
      const before = [{ type: 'server_tool_use', ...search }, found]
      call.send(callStart(), ...serverToolBlock(0, search), ...wholeBlock(1, found), ...thoughtOf(call, 2, before))
      call.send(...callEnd('pause_turn'))
      call.end()
    }
    const asking: ProviderReply = (call) => {
      call.send(
        callStart(),
        ...thoughtOf(call),
        ...toolBlock(1, { id: 'toolu_1', name: 'look' }),
        ...callEnd('tool_use'),
      )
      call.end()
    }
    await using session = await openSession(inTurn(paused, asking))
    const agent = session.agent({ tools: [look], serverTools: ['web_search'] })
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
  })

  it('an answer that paused in its own words goes on by a user message', async () => {
    await using session = await openSession(inTurn(ending('pause_turn', ...textBlock('Well,'))))
    expect((await session.prompt(session.agent())).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    expect(lastUserBlocks(session.provider.calls[1]!)).toMatchObject([{ text: 'Continue.' }])
  })

  it("a call of the provider's tool waits for the results of the agent's tools", async () => {
    const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => 'seen' })
    const both = ending('tool_use', ...serverToolBlock(0, search), ...toolBlock(1, { id: 'toolu_1', name: 'look' }))
    const rest = answering(...wholeBlock(0, found), ...textBlock('Grey.', 1))
    await using session = await openSession(inTurn(both, rest))
    const agent = session.agent({ tools: [look], serverTools: ['web_search'] })
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    expect(answersIn(session.provider.calls[1]!).map(({ type }) => type)).toEqual(['server_tool_use', 'tool_use'])
    expect(answersIn(session.provider.calls[2]!).map(({ type }) => type)).toEqual([
      'server_tool_use',
      'tool_use',
      'web_search_tool_result',
      'text',
    ])
  })

  it.each(['interrupted', 'cancelled', 'failed'] as const)(
    'after an answer that was %s while a tool of the provider ran, the session goes on',
    async (status) => {
      await using session = await openSession(inTurn(answering(...searching)))
      const agent = session.agent({ serverTools: ['web_search'] })
      const { content } = await session.prompt(agent)
      // The part of the answer that was stored when its process was lost.
      for (let kept = 1; kept <= content.length; kept++) {
        session.messages.at(-1)!.content.splice(0, Infinity, ...content.slice(0, kept))
        session.messages.at(-1)!.status = status
        expect((await session.prompt(agent)).error).toBeUndefined()
        session.messages.splice(2)
      }
      expect(session.provider.complaints).toEqual([])
    },
  )

  it('a provider that refuses blocks of another one is asked again without them', async () => {
    await using other = await openSession(answering(...searching))
    const { content } = await other.prompt(other.agent({ serverTools: ['web_search'] }))
    await using session = await openSession(yes)
    session.store({ role: 'user', content: [{ type: 'text', text: 'Which colour?' }] })
    session.store({ role: 'assistant', content: [...content] })
    expect((await session.prompt(session.agent())).error).toBeUndefined()
    expect(session.provider.complaints).toHaveLength(1)
    expect(answersIn(session.provider.calls[0]!)).toEqual([
      { type: 'text', text: 'Let me look.' },
      { type: 'text', text: 'Grey.' },
    ])
  })

  it('code that the provider runs goes on in the container of the calls before', async () => {
    const [delta, ...rest] = callEnd('pause_turn')
    const container = { id: 'container_1', expires_at: '2026-11-23T00:00:00Z' }
    const first: ProviderReply = (call) => {
      const end = { type: 'message_delta', ...delta, delta: { ...(delta?.['delta'] as object), container } }
      call.send(callStart(), ...serverToolBlock(0, { ...search, name: 'code_execution' }), end, ...rest)
      call.end()
    }
    const result = { type: 'code_execution_tool_result', tool_use_id: search.id, content: { stdout: '1' } }
    await using session = await openSession(inTurn(first, answering(...wholeBlock(0, result), ...textBlock('1', 1))))
    expect((await session.prompt(session.agent({ serverTools: ['code_execution'] }))).error).toBeUndefined()
    expect(session.provider.calls.map(({ body }) => body['container'])).toEqual([undefined, 'container_1'])
  })
})

describe('MCP servers that the provider connects to', () => {
  const call = { type: 'mcp_tool_use', id: 'mcptoolu_1', name: 'echo', server_name: 'files', input: { a: 1 } }
  const result = {
    type: 'mcp_tool_result',
    tool_use_id: 'mcptoolu_1',
    is_error: false,
    content: [{ type: 'text', text: 'x' }],
  }

  it('a request names the servers, their toolsets and the header, with a token made for the run', async () => {
    const mcpServers = [
      {
        name: 'files',
        url: 'https://mcp.example.com/sse',
        authorizationToken: ({ runId }: { runId: string }) => `token of ${runId.slice(0, 8)}`,
        toolset: { default_config: { enabled: false }, configs: { echo: { enabled: true } } },
      },
    ]
    const { calls, error } = await ask([saying('Hi')], { mcpServers })
    expect(error).toBeUndefined()
    expect(calls[0]?.body['mcp_servers']).toEqual([
      { type: 'url', name: 'files', url: 'https://mcp.example.com/sse', authorization_token: 'token of 00000000' },
    ])
    expect(calls[0]?.body['tools']).toEqual([
      {
        type: 'mcp_toolset',
        mcp_server_name: 'files',
        default_config: { enabled: false },
        configs: { echo: { enabled: true } },
      },
    ])
    expect(calls[0]?.headers['anthropic-beta']).toBe('mcp-client-2025-11-20')
  })

  it('calls and results go back as they came, also from an agent without the server', async () => {
    const events = [...serverToolBlock(0, call), ...wholeBlock(1, result), ...textBlock('Done.', 2)]
    await using session = await openSession(inTurn(answering(...events)))
    const { content } = await session.prompt(
      session.agent({ mcpServers: [{ name: 'files', url: 'https://x.example' }] }),
    )
    expect(content.slice(0, 2)).toEqual([call, result])
    expect((await session.prompt(session.agent())).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    expect(answersIn(session.provider.calls[1]!)).toEqual(content)
  })
})

const data = Buffer.from('an image').toString('base64')
const image: ImageBlock = { type: 'image', source: { type: 'base64', media_type: 'image/png', data }, alt: 'A cat' }
const essay: DocumentBlock = {
  type: 'document',
  source: { type: 'text', media_type: 'text/plain', data: 'All cats are grey.' },
  title: 'Cats',
}
const imageId = '3f1f9a52-7a52-4d7b-9c43-0d2a51b3c001'
const paperId = '3f1f9a52-7a52-4d7b-9c43-0d2a51b3c002'
const textId = '3f1f9a52-7a52-4d7b-9c43-0d2a51b3c003'
const goneId = '3f1f9a52-7a52-4d7b-9c43-0d2a51b3c004'

/** Files in memory, and how often they were read. */
function filesOf(sizes: Partial<Record<string, number>> = {}) {
  const reads: string[] = []
  const files: AttachedFile[] = [
    { id: imageId, mediaType: 'image/png', sizeBytes: sizes[imageId] ?? 8, pages: null },
    { id: paperId, mediaType: 'application/pdf', sizeBytes: sizes[paperId] ?? 8, pages: 2 },
    { id: textId, mediaType: 'text/plain', sizeBytes: sizes[textId] ?? 8, pages: null },
  ]
  const attachments: AttachmentReader = {
    find: async (ids) => files.filter(({ id }) => ids.includes(id)),
    read: async (id) => {
      reads.push(id)
      const file = files.find((one) => one.id === id)
      if (file === undefined) throw new VerbatimError('MESSAGE_NOT_FOUND')
      return new Uint8Array(file.sizeBytes).fill(65)
    },
  }
  return { attachments, reads }
}

const attached = (type: 'image' | 'document', attachment_id: string) =>
  ({ type, source: { type: 'attachment', attachment_id } }) as PromptBlock

async function blocksSent(content: readonly PromptBlock[], attachments?: AttachmentReader) {
  await using provider = await startProvider(saying('Hi'))
  const request = { ...requestOf({ content: [...content] }), ...(attachments && { attachments }) }
  const { error } = await collect(claudeAt(provider.url, { maxRetries: 0, cache: false }).stream(request, never))
  expect(provider.complaints).toEqual([])
  expect(error).toBeUndefined()
  return lastUserBlocks(provider.calls[0]!)
}

describe('images and documents', () => {
  it('images and documents of a prompt go to the model, without what is for people', async () => {
    expect(await blocksSent([image, essay, { type: 'text', text: 'What?' }])).toEqual([
      { type: 'image', source: image.source },
      essay,
      { type: 'text', text: 'What?' },
    ])
  })

  it('citations are asked for in all documents when one asks for them', async () => {
    const blocks = await blocksSent([{ ...essay, citations: { enabled: true } }, essay])
    expect(blocks.map(({ citations }) => citations)).toEqual([{ enabled: true }, { enabled: true }])
  })

  it('files are read and sent as what they are', async () => {
    const { attachments, reads } = filesOf()
    const prompt = [attached('image', imageId), attached('document', paperId), attached('document', textId)]
    const text = Buffer.from('A'.repeat(8)).toString('base64')
    expect(await blocksSent([...prompt, attached('image', imageId)], attachments)).toEqual([
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: text } },
      { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: text } },
      { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'AAAAAAAA' } },
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: text } },
    ])
    expect(reads.toSorted()).toEqual([imageId, paperId, textId])
  })

  it('a file that is gone, or that is no image, leaves a note in its place', async () => {
    const { attachments } = filesOf()
    const gone = { ...attached('image', goneId), alt: 'A cat' } as PromptBlock
    const blocks = await blocksSent([gone, attached('image', paperId)], attachments)
    expect(blocks.map(({ text }) => text)).toEqual([
      expect.stringMatching(/^\[The image "A cat" is left out/),
      expect.stringMatching(/^\[The image is left out/),
    ])
  })

  it('old files are left out when a request holds no more, and a long session of images goes on', async () => {
    const { attachments, reads } = filesOf({ [imageId]: 4_000_000 })
    await using session = await openSession(yes)
    const agent = session.agent({ maxHistoryMessages: 40 })
    for (let turn = 0; turn < 25; turn++) {
      session.store({ role: 'user', content: [attached('image', imageId), { type: 'text', text: `No. ${turn}` }] })
      session.store({ role: 'assistant', content: [{ type: 'text', text: 'Nice.' }] })
    }
    session.store({ role: 'user', content: [{ type: 'text', text: 'How many?' }] })
    const request = { ...requestOf(), messages: session.messages.slice(-40), hasOlder: true, attachments }
    expect((await collect(agent.stream(request, never))).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    const sent = session.provider.calls[0]!.body.messages.flatMap(({ content }) => content)
    expect(sent.filter(({ type }) => type === 'image')).toHaveLength(4)
    expect(sent.filter(({ text }) => String(text).startsWith('[The image')).length).toBeGreaterThan(8)
    expect(reads).toHaveLength(1)
  })

  it('an image counts as a model reads it, not by its bytes: no turn leaves for it', async () => {
    await using session = await openSession(yes)
    const agent = session.agent({ contextTokens: 200_000, maxTokens: 1_000, compaction: false })
    const large = {
      ...image,
      source: { type: 'base64' as const, media_type: 'image/png' as const, data: 'A'.repeat(400_000) },
    }
    for (let turn = 0; turn < 5; turn++) {
      session.store({ role: 'user', content: [large, { type: 'text', text: `No. ${turn}` }] })
      session.store({ role: 'assistant', content: [{ type: 'text', text: 'Nice.' }] })
    }
    expect((await session.prompt(agent)).error).toBeUndefined()
    expect(session.provider.complaints).toEqual([])
    expect(session.provider.calls[0]?.body.messages).toHaveLength(11)
  })
})

describe('a tool that answers blocks', () => {
  const map = tool({
    name: 'map',
    description: 'Draws a map',
    input: z.object({}),
    run: () => resultBlocks({ type: 'text', text: 'Here:' }, image, essay),
  })
  const asking = ending('tool_use', ...toolBlock(0, { id: 'toolu_1', name: 'map' }))

  it('text, images and documents of a tool go to the model and are kept', async () => {
    await using session = await openSession(inTurn(asking))
    const { content, error } = await session.prompt(session.agent({ tools: [map] }))
    expect(error).toBeUndefined()
    const parts: ContentBlock[] = [{ type: 'text', text: 'Here:' }, image, essay]
    expect(content[1]).toMatchObject({ type: 'tool_result', content: parts, is_error: false })
    expect(session.provider.complaints).toEqual([])
    expect(lastUserBlocks(session.provider.calls[1]!)[0]).toMatchObject({
      content: [{ type: 'text', text: 'Here:' }, { type: 'image', source: image.source }, essay],
    })
  })

  it('an output in blocks that is too large is an error for the model', async () => {
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data: 'A'.repeat(4_200_000) }
    const huge = tool({ ...map, input: z.object({}), run: () => resultBlocks({ type: 'image', source }) })
    await using session = await openSession(inTurn(asking))
    const { content } = await session.prompt(session.agent({ tools: [huge] }))
    expect(content[1]).toMatchObject({
      is_error: true,
      content: expect.stringContaining('over 4194304 bytes') as string,
    })
  })

  it('a malformed block is refused where it is made', () => {
    expect(() => resultBlocks({ type: 'image', source: { type: 'url', url: 'data:,x' } })).toThrow(VerbatimError)
  })
})
