/** Logs of runs of every kind, as agents make them. */
import type { AgentEvent, ContentBlock, RunEvent, RunMetrics, TerminalEvent } from '@verbatim/core'

export interface RecordedRun {
  readonly title: string
  /** The log of each run of the answer: more than one when it was continued after a crash. */
  readonly runs: readonly (readonly RunEvent[])[]
}

const metrics: RunMetrics = {
  latencyMs: 12,
  timeToFirstTokenMs: 3,
  inputTokens: 5,
  outputTokens: 7,
  totalTokens: 12,
  cacheReadInputTokens: 0,
  cacheWriteInputTokens: 0,
  cycles: 1,
  tools: [],
  model: 'a-model',
  stopReason: 'end_turn',
}

function idOf(kind: number, run: number): string {
  return `00000000-0000-4000-8000-${String(kind * 100 + run).padStart(12, '0')}`
}

function started(run = 1): RunEvent {
  return {
    type: 'run_started',
    runId: idOf(1, run),
    sessionId: 'session-1',
    agentId: 'writer',
    userMessageId: idOf(2, run),
    messageId: idOf(3, run),
    startedAt: '2026-11-28T12:00:00.000Z',
  }
}

type End = TerminalEvent['type']

function ended(
  type: End = 'run_completed',
  { run = 1, continuedBy }: { run?: number; continuedBy?: number } = {},
): RunEvent {
  const end = { messageId: idOf(3, run), metrics }
  const error = { code: 'UNAVAILABLE', message: 'The process was lost', retryable: true, data: {} } as const
  if (type === 'run_failed')
    return { type, ...end, error: { ...error, code: 'PROVIDER_ERROR', message: 'The model broke off' } }
  if (type === 'run_interrupted') {
    return { type, ...end, error, ...(continuedBy === undefined ? {} : { continuedBy: idOf(1, continuedBy) }) }
  }
  return { type, ...end }
}

/** One call of the model. */
function cycle(events: readonly AgentEvent[], stopReason = 'end_turn'): AgentEvent[] {
  return [
    { type: 'message_start', message: { model: 'a-model', usage: { input_tokens: 5 } } },
    ...events,
    { type: 'message_delta', delta: { stop_reason: stopReason, stop_sequence: null }, usage: { output_tokens: 7 } },
    { type: 'message_stop' },
  ]
}

function cutCycle(events: readonly AgentEvent[]): AgentEvent[] {
  return cycle(events).slice(0, -2)
}

function text(index: number, ...pieces: readonly string[]): AgentEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'text', text: '' } },
    ...pieces.map((piece): AgentEvent => ({
      type: 'content_block_delta',
      index,
      delta: { type: 'text_delta', text: piece },
    })),
    { type: 'content_block_stop', index },
  ]
}

function thinking(index: number, thought: string, signature = 'c2lnbmVk'): AgentEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'thinking', thinking: '', signature: '' } },
    { type: 'content_block_delta', index, delta: { type: 'thinking_delta', thinking: thought } },
    { type: 'content_block_delta', index, delta: { type: 'signature_delta', signature } },
    { type: 'content_block_stop', index },
  ]
}

interface CallOptions {
  readonly id?: string
  readonly json?: readonly string[]
}

function call(index: number, { id = 'call-1', json = ['{"city":', '"Rome"}'] }: CallOptions = {}): AgentEvent[] {
  return [
    { type: 'content_block_start', index, content_block: { type: 'tool_use', id, name: 'weather', input: {} } },
    ...json.map((partial_json): AgentEvent => ({
      type: 'content_block_delta',
      index,
      delta: { type: 'input_json_delta', partial_json },
    })),
    { type: 'content_block_stop', index },
  ]
}

function result(tool_use_id: string, content: string, is_error = false): AgentEvent {
  return { type: 'tool_result', tool_use_id, content, is_error, durationMs: 3 }
}

function whole(index: number, content_block: ContentBlock): AgentEvent {
  return { type: 'content_block', index, content_block }
}

function citation(index: number, url: string): AgentEvent {
  return {
    type: 'content_block_delta',
    index,
    delta: {
      type: 'citations_delta',
      citation: { type: 'web_search_result_location', url, title: url, cited_text: 'so' },
    },
  }
}

const search: readonly AgentEvent[] = [
  whole(0, { type: 'server_tool_use', id: 'search-1', name: 'web_search', input: { query: 'Rome' } }),
  whole(1, {
    type: 'web_search_tool_result',
    tool_use_id: 'search-1',
    content: [
      { type: 'web_search_result', url: 'https://example.com/rome', title: 'Rome' },
      { type: 'web_search_result', url: 'https://example.com/italy', title: 'Italy' },
    ],
  }),
]

const cited: readonly AgentEvent[] = [
  { type: 'content_block_start', index: 2, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 2, delta: { type: 'text_delta', text: 'It is a city' } },
  citation(2, 'https://example.com/rome'),
  citation(2, 'https://example.com/rome'),
  { type: 'content_block_stop', index: 2 },
]

const toolTurn: readonly AgentEvent[] = [
  ...cycle([...text(0, 'Let me look. '), ...call(1)], 'tool_use'),
  result('call-1', '{"degrees":21}'),
  ...cycle(text(0, 'It is ', '21 degrees.')),
]

export const recordedRuns: readonly RecordedRun[] = [
  { title: 'text', runs: [[started(), ...cycle(text(0, 'Hel', 'lo', '', '!')), ended()]] },
  { title: 'nothing at all', runs: [[started(), ended()]] },
  {
    title: 'text that begins with its block',
    runs: [[started(), ...cycle([whole(0, { type: 'text', text: 'Whole' })]), ended()]],
  },
  {
    title: 'thinking',
    runs: [
      [
        started(),
        ...cycle([...thinking(0, 'Hm'), whole(1, { type: 'redacted_thinking', data: 'c2VjcmV0' }), ...text(2, 'Yes')]),
        ended(),
      ],
    ],
  },
  { title: 'a tool', runs: [[started(), ...toolTurn, ended()]] },
  {
    title: 'tools side by side, one of which fails',
    runs: [
      [
        started(),
        ...cycle([...call(0, { id: 'a' }), ...call(1, { id: 'b', json: [] })], 'tool_use'),
        result('a', 'sunny'),
        result('b', 'no such place', true),
        ...cycle(text(0, 'Done')),
        ended(),
      ],
    ],
  },
  {
    title: 'tools of one id, with input that is no JSON',
    runs: [
      [
        started(),
        ...cycle([...call(0), ...call(1, { json: ['{"city":'] })], 'tool_use'),
        result('call-1', 'one'),
        result('call-1', '[1,2]'),
        ...cycle([...call(0), ...text(1, 'and more')], 'tool_use'),
        result('call-1', 'three'),
        result('of no call', 'lost'),
        ended(),
      ],
    ],
  },
  {
    title: 'tools of the provider',
    runs: [
      [
        started(),
        ...cycle([
          ...search,
          ...cited,
          whole(3, { type: 'mcp_tool_use', id: 'mcp-1', name: 'ask', server_name: 'books', input: { n: 1 } }),
          whole(4, {
            type: 'mcp_tool_result',
            tool_use_id: 'mcp-1',
            is_error: true,
            content: [{ type: 'text', text: 'No' }],
          }),
          whole(5, { type: 'container_upload', file_id: 'file-1' }),
        ]),
        ended(),
      ],
    ],
  },
  {
    title: 'sources that were found and not cited',
    runs: [[started(), ...cycle([...search, ...text(2, 'So')]), ended()]],
  },
  {
    title: 'files',
    runs: [
      [
        started(),
        ...cycle([
          whole(0, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0K' } }),
          whole(1, { type: 'image', source: { type: 'attachment', attachment_id: idOf(4, 1) } }),
          whole(2, { type: 'document', source: { type: 'url', url: 'https://example.com/a.pdf' }, title: 'A' }),
          whole(3, { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'a b' } }),
        ]),
        ended(),
      ],
    ],
  },
  {
    title: 'data',
    runs: [
      [
        started(),
        { type: 'data', name: 'progress', data: 1 },
        ...cycle(text(0, 'Half ')),
        { type: 'data', name: 'progress', data: 2 },
        { type: 'data', name: 'chart', id: 'a', data: { rows: [1] } },
        { type: 'data', name: 'chart', id: 'b', data: null },
        ended(),
      ],
    ],
  },
  {
    title: 'structured output',
    runs: [[started(), ...cycle(text(0, '{"owed":', '3}')), { type: 'output', output: { owed: 3 } }, ended()]],
  },
  { title: 'cut by its length', runs: [[started(), ...cycle(text(0, 'Long'), 'max_tokens'), ended()]] },
  { title: 'failed in mid-text', runs: [[started(), ...cutCycle(text(0, 'Half').slice(0, -1)), ended('run_failed')]] },
  {
    title: 'cancelled in the input of a tool',
    runs: [[started(), ...cutCycle([...text(0, 'So '), ...call(1).slice(0, -2)]), ended('run_cancelled')]],
  },
  {
    title: 'cancelled while a tool runs',
    runs: [[started(), ...cycle(call(0), 'tool_use'), ended('run_cancelled')]],
  },
  { title: 'refused', runs: [[started(), ...cycle(text(0, 'I will not'), 'refusal'), ended('run_refused')]] },
  { title: 'interrupted', runs: [[started(), ...cutCycle(text(0, 'Half').slice(0, -1)), ended('run_interrupted')]] },
  {
    title: 'resumed and retried before its first word',
    runs: [
      [
        started(),
        { type: 'run_resumed', attempt: 1, resumedAt: '2026-11-28T12:00:01.000Z' },
        {
          type: 'run_retrying',
          attempt: 1,
          delayMs: 5,
          error: { code: 'PROVIDER_ERROR', message: 'Overloaded', retryable: true, data: {} },
        },
        ...cycle(text(0, 'Late')),
        ended(),
      ],
    ],
  },
  {
    title: 'continued twice after a crash',
    runs: [
      [
        started(),
        ...cycle([...text(0, 'First. '), ...call(1)], 'tool_use'),
        result('call-1', 'unknown', true),
        ended('run_interrupted', { continuedBy: 2 }),
      ],
      [
        started(2),
        ...cutCycle([...text(0, 'Second, '), ...call(1).slice(0, 2)]),
        { type: 'data', name: 'progress', data: 1 },
        ended('run_interrupted', { run: 2, continuedBy: 3 }),
      ],
      [started(3), ...toolTurn, { type: 'data', name: 'progress', data: 2 }, ended('run_completed', { run: 3 })],
    ],
  },
]
