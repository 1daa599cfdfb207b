/** A model that says whatever it likes, well-formed or not, and remembers which inputs it gave to tools. */
import {
  blockStop,
  callEnd,
  callStart,
  compacting,
  serverToolBlock,
  textBlock,
  textDelta,
  textStart,
  wholeBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderCall, ProviderEvent, RequestBlock } from '@verbatim/test-kit/provider'
import fc from 'fast-check'

interface ToolMove {
  readonly id: string
  readonly name: string
  readonly input: 'whole' | 'large' | 'cut' | 'none' | 'list'
}

/** One answer of the model, or what became of it on its way. */
export interface Move {
  readonly thinking: 'none' | 'first' | 'late'
  readonly text: string
  /** What it asks of tools that the provider runs, and other blocks that only the provider makes. */
  readonly server: 'none' | 'searched' | 'pending' | 'mcp' | 'unknown_block'
  readonly tools: readonly ToolMove[]
  readonly interleaves: boolean
  readonly stopReason: string | null
  readonly fault:
    | 'none'
    | 'cut'
    | 'no_message_stop'
    | 'no_block_stop'
    | 'start_twice'
    | 'ping'
    | 'status'
    | 'html'
    | 'json_error'
  /** What comes of a request for a summary of the conversation. */
  readonly summary: 'made' | 'cut_off' | 'declined' | 'not_supported' | 'like_any_other'
}

const toolMove: fc.Arbitrary<ToolMove> = fc.record({
  id: fc.constantFrom('call_0', 'call_0', '', 'a:b.c', 'toolu_1'),
  name: fc.constantFrom('echo', 'echo', 'count', 'unknown', 'odd name!'),
  input: fc.constantFrom('whole', 'whole', 'large', 'cut', 'none', 'list'),
})

export const anyMove: fc.Arbitrary<Move> = fc.record({
  thinking: fc.constantFrom('none', 'first', 'first', 'late'),
  text: fc.constantFrom('', 'Well.', 'Let me see. ', '\u200b', ' \n'),
  server: fc.constantFrom('none', 'none', 'none', 'searched', 'pending', 'mcp', 'unknown_block'),
  tools: fc.array(toolMove, { maxLength: 3 }),
  interleaves: fc.boolean(),
  stopReason: fc.constantFrom(
    'natural',
    'natural',
    'natural',
    'end_turn',
    null,
    'max_tokens',
    'refusal',
    'pause_turn',
    'model_context_window_exceeded',
    'tool_use',
  ),
  fault: fc.constantFrom(
    ...(['none', 'none', 'none', 'none', 'cut', 'no_message_stop', 'no_block_stop'] as const),
    ...(['start_twice', 'ping', 'status', 'html', 'json_error'] as const),
  ),
  summary: fc.constantFrom('made', 'made', 'made', 'made', 'cut_off', 'declined', 'not_supported', 'like_any_other'),
})

/** What the model wrote for each call that it numbered, and whether that was whole. */
export interface Written {
  readonly json: string
  readonly isWhole: boolean
}

export function createModel() {
  const written = new Map<number, Written>()
  let numbered = 0

  function jsonOf({ input }: ToolMove): string {
    const n = ++numbered
    const whole = `{"n": ${n}, "size": ${input === 'large' ? 30_000 : 10}, "id": 2512292042121000001}`
    const json = input === 'none' ? '' : input === 'list' ? `[${n}]` : input === 'cut' ? whole.slice(0, -9) : whole
    written.set(n, { json, isWhole: input === 'whole' || input === 'large' })
    return json
  }

  function answer(call: ProviderCall, move: Move): ProviderEvent[] {
    const blocks: ProviderEvent[][] = []
    const said: RequestBlock[] = []
    const say = (block: RequestBlock, events: ProviderEvent[]) => {
      said.push(block)
      blocks.push(events)
    }
    // The provider first runs what it was asked for before.
    for (const id of pendingIn(call)) say(foundBy(id), wholeBlock(0, foundBy(id)))
    if (move.thinking === 'first') blocks.push(thoughtOf(0, call.sign(said)))
    if (move.text !== '') say({ type: 'text', text: move.text }, textBlock(move.text))
    for (const [block, events] of serverBlocks(move, ++numbered)) say(block, events)
    if (move.thinking === 'late') blocks.push(thoughtOf(0, call.sign(said)))
    const tools = move.tools.map((tool) => toolEvents(tool, jsonOf(tool)))
    const content = [...blocks, ...(move.interleaves ? [] : tools)].flatMap((events, at) => placed(events, at))
    const side = move.interleaves ? woven(tools.map((events, at) => placed(events, blocks.length + at))) : []
    const stopped = [...content, ...side].filter(
      ({ type }) => move.fault !== 'no_block_stop' || type !== 'content_block_stop',
    )
    const reason = move.stopReason === 'natural' ? (move.tools.length > 0 ? 'tool_use' : 'end_turn') : move.stopReason
    const start = callStart({ input: call.tokens })
    return [...(move.fault === 'start_twice' ? [start, start] : [start]), ...stopped, ...endOf(reason)]
  }

  return { written, reply: (call: ProviderCall, move: Move) => reply(call, move) }

  function reply(call: ProviderCall, move: Move) {
    const asksForSummary = call.body['compaction'] !== undefined && move.summary !== 'like_any_other'
    return asksForSummary ? summarize(call, move) : send(call, move, () => answer(call, move))
  }
}

/** The calls of the provider's tools in the request that have no result yet. */
function pendingIn({ body }: ProviderCall): string[] {
  const all = body.messages.flatMap(({ content }) => content)
  const answered = new Set(all.map((block) => block['tool_use_id']))
  return all.flatMap(({ type, id }) => (type === 'server_tool_use' && !answered.has(id) ? [String(id)] : []))
}

function foundBy(tool_use_id: string): RequestBlock {
  const page = { type: 'web_search_result', url: 'https://cats.example/', title: 'Cats', encrypted_content: 'x' }
  return { type: 'web_search_tool_result', tool_use_id, content: [page] }
}

const citation = {
  type: 'web_search_result_location',
  cited_text: 'Grey.',
  url: 'https://cats.example/',
  title: 'Cats',
}

function serverBlocks({ server }: Move, n: number): [RequestBlock, ProviderEvent[]][] {
  const search = { id: `srvtoolu_${n}`, name: 'web_search', input: { query: 'cats', n } }
  const echo = { id: `mcptoolu_${n}`, name: 'echo', server_name: 'mcp', input: { n } }
  const call = (type: string, one: { id: string; name: string; input: object }): [RequestBlock, ProviderEvent[]] => [
    { type, ...one },
    serverToolBlock(0, { type, ...one }),
  ]
  const whole = (block: RequestBlock): [RequestBlock, ProviderEvent[]] => [block, wholeBlock(0, block)]
  switch (server) {
    case 'none':
      return []
    case 'pending':
      return [call('server_tool_use', search)]
    case 'mcp':
      return [
        call('mcp_tool_use', echo),
        whole({ type: 'mcp_tool_result', tool_use_id: echo.id, is_error: false, content: [] }),
      ]
    case 'unknown_block':
      return [whole({ type: 'hologram', n, parts: [{ x: 1.5 }, null] })]
    case 'searched':
      return [
        call('server_tool_use', search),
        whole(foundBy(search.id)),
        [{ type: 'text', text: 'Grey.' }, [textStart(), cite, textDelta('Grey.'), blockStop()]],
      ]
  }
}

const cite = { type: 'content_block_delta', index: 0, delta: { type: 'citations_delta', citation } }

/** A summary of some length, or an answer of the provider without one. */
function summarize(call: ProviderCall, { summary, text }: Move): void | Promise<void> {
  switch (summary) {
    case 'made':
      return compacting(`They spoke. ${text.repeat(100)}`)(call)
    case 'not_supported':
      return call.refuseAs('invalid_request_error', 'compaction: Extra inputs are not permitted')
    default:
      call.send(callStart(), ...callEnd(summary === 'cut_off' ? 'max_tokens' : 'refusal'))
      return call.end()
  }
}

function endOf(reason: string | null): ProviderEvent[] {
  const [delta, stop] = callEnd(reason ?? '')
  return [reason === null ? { ...delta, type: 'message_delta', delta: { stop_reason: null } } : delta, stop].flatMap(
    (event) => event ?? [],
  )
}

function send(call: ProviderCall, move: Move, answer: () => ProviderEvent[]): void {
  switch (move.fault) {
    case 'status':
      return call.refuse(529)
    case 'html':
      return call.answer('text/html', '<h1>Bad gateway</h1>')
    case 'json_error':
      return call.answer('application/json', '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    case 'cut': {
      const events = answer()
      call.send(...events.slice(0, Math.ceil(events.length / 2)))
      return call.cut()
    }
    case 'no_message_stop':
      call.send(...answer().slice(0, -1))
      return call.end()
    case 'ping':
      call.write('event: ping\ndata: {"type": "ping"}\n\n')
      call.send(...answer())
      return call.end()
    default:
      call.send(...answer())
      return call.end()
  }
}

function thoughtOf(index: number, signature: string): ProviderEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'thinking', thinking: '', signature: '' } },
    { type: 'content_block_delta', index, delta: { type: 'thinking_delta', thinking: 'Hm.' } },
    { type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } },
    blockStop(index),
  ]
}

/** The input comes in two pieces. */
function toolEvents({ id, name }: ToolMove, json: string): ProviderEvent[] {
  const half = Math.ceil(json.length / 2)
  const pieces = [json.slice(0, half), json.slice(half)].map((partial_json) => ({
    type: 'input_json_delta',
    partial_json,
  }))
  return [
    { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id, name, input: {} } },
    ...pieces.map((delta) => ({ type: 'content_block_delta', index: 0, delta })),
    blockStop(),
  ]
}

function placed(events: readonly ProviderEvent[], index: number): ProviderEvent[] {
  return events.map((event) => ({ ...event, index }))
}

/** One event of each block in turn. */
function woven(blocks: readonly ProviderEvent[][]): ProviderEvent[] {
  const longest = Math.max(0, ...blocks.map(({ length }) => length))
  return Array.from({ length: longest }, (_, at) => blocks.flatMap((events) => events[at] ?? [])).flat()
}
