/** A wire server with one session that keeps its messages, and whose runs say what the test lets them say. */
import { lastSeqOf } from '@verbatim/core'
import type { EventBatch, JsonValue, Message, RunEvent } from '@verbatim/core'
import { beginningOf, completed, metrics, sessionId } from './events.ts'
import {
  batchFrame,
  connectedFrame,
  openSse,
  refuse,
  reply,
  returnFrame,
  startWireServer,
  wireError,
} from './wire-server.ts'
import type { WireServer } from './wire-server.ts'

interface ScriptedRun {
  readonly id: string
  /** Makes the run say `text`, as one batch. */
  say(text: string): void
  /** Ends the run and stores its message, as one. */
  end(event?: RunEvent, output?: JsonValue): void
}

export interface ChatServer extends AsyncDisposable {
  readonly wire: WireServer
  readonly messages: Message[]
  /** Puts a finished turn into the session. */
  addTurn(prompt: string, answer: string): void
  /** Begins a run as another client would. */
  begin(prompt: string, runId?: string): ScriptedRun
  /** Makes the answer of a run anew, as another client would ask for it. */
  beginRetry(retryOf: string, runId?: string): ScriptedRun
  /** The run that the last `runs.start` began. */
  readonly current: ScriptedRun | undefined
  /** Cuts every open stream. */
  cut(): void
}

export async function startChatServer({ pageSize = 50 } = {}): Promise<ChatServer> {
  const messages: Message[] = []
  const logs = new Map<string, EventBatch[]>()
  const followers = new Set<() => void>()
  const cuts = new Set<() => void>()
  const retries = new Map<string, string>()
  let activeRunId: string | null = null
  let current: ScriptedRun | undefined
  let ids = 0

  const newId = (): string => `00000000-0000-4000-8000-${String(++ids).padStart(12, '0')}`

  function store(
    role: 'user' | 'assistant',
    text: string,
    { runId, id = newId(), retryOf = null }: { runId: string; id?: string; retryOf?: string | null },
  ): Message {
    const message: Message = {
      id,
      sessionId,
      seq: messages.length + 1,
      role,
      content: [{ type: 'text', text }],
      status: 'completed',
      agentId: role === 'assistant' ? 'default' : null,
      runId,
      continuationOf: null,
      retryOf,
      output: null,
      data: [],
      metrics: role === 'assistant' ? metrics : null,
      createdAt: new Date(1_700_000_000_000 + messages.length * 1000).toISOString(),
    }
    messages.push(message)
    return message
  }

  function append(runId: string, events: RunEvent[]): void {
    const log = logs.get(runId) ?? []
    const last = log.at(-1)
    log.push({ firstSeq: last === undefined ? 1 : lastSeqOf(last) + 1, events })
    logs.set(runId, log)
    for (const wake of followers) wake()
  }

  function begin(prompt: string, runId = newId()): ScriptedRun {
    return beginFor(store('user', prompt, { runId }).id, { runId, retryOf: null })
  }

  function beginRetry(retryOf: string, runId = newId()): ScriptedRun {
    const prompt = messages.find((message) => message.runId === retryOf && message.role === 'user')
    retries.set(runId, retryOf)
    return beginFor(prompt?.id ?? '', { runId, retryOf })
  }

  function beginFor(userMessageId: string, { runId, retryOf }: { runId: string; retryOf: string | null }): ScriptedRun {
    const messageId = newId()
    let text = ''
    activeRunId = runId
    append(runId, beginningOf({ runId, userMessageId, messageId }))
    return {
      id: runId,
      say(piece) {
        text += piece
        append(runId, [{ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: piece } }])
      },
      end(event = { ...completed(), messageId }, output = null) {
        const status =
          event.type === 'run_cancelled' ? 'cancelled' : event.type === 'run_failed' ? 'failed' : 'completed'
        Object.assign(store('assistant', text, { runId, id: messageId, retryOf }), { status, output })
        activeRunId = null
        append(runId, [
          { type: 'content_block_stop', index: 0 },
          { type: 'message_stop' },
          ...(output === null ? [] : [{ type: 'output' as const, output }]),
          { ...event, messageId } as RunEvent,
        ])
      },
    }
  }

  const wire = await startWireServer({
    'sessions.get': (_request, response) =>
      messages.length === 0
        ? refuse(response, wireError('SESSION_NOT_FOUND'), 404)
        : reply(response, {
            id: sessionId,
            title: null,
            activeRunId,
            queuedRunIds: [],
            messageCount: messages.length,
            revision: 1,
            createdAt: '',
            updatedAt: '',
          }),
    'messages.list': ({ input }, response) => {
      if (messages.length === 0) return refuse(response, wireError('SESSION_NOT_FOUND'), 404)
      const before = typeof input['cursor'] === 'string' ? Number(input['cursor']) : Number.POSITIVE_INFINITY
      const items = messages
        .filter((message) => message.seq < before)
        .toReversed()
        .slice(0, pageSize)
      const oldest = items.at(-1)?.seq ?? 1
      return reply(response, { items, nextCursor: oldest > 1 ? String(oldest) : null })
    },
    'messages.get': ({ input }, response) =>
      reply(
        response,
        messages.find((message) => message.id === input['messageId']),
      ),
    'runs.start': ({ input }, response) => {
      if (activeRunId !== null) return refuse(response, wireError('SESSION_BUSY', { activeRunId }), 409)
      current = begin(String(input['message']), String(input['runId']))
      return reply(response, { id: input['runId'], sessionId, status: 'running' })
    },
    'runs.retry': ({ input }, response) => {
      current = beginRetry(String(input['runId']), String(input['newRunId']))
      return reply(response, { id: input['newRunId'], sessionId, status: 'running' })
    },
    'runs.get': ({ input }, response) => {
      const id = String(input['runId'])
      return reply(response, { id, sessionId, status: 'running', retryOf: retries.get(id) ?? null })
    },
    'runs.cancel': ({ input }, response) => {
      current?.end({ type: 'run_cancelled', messageId: '', metrics } as RunEvent)
      return reply(response, { runId: input['runId'], status: 'cancelled', finalSeq: null, hadEnded: false })
    },
    'runs.follow': async (request, response) => {
      const id = String(request.input['runId'])
      let seq = request.after
      openSse(response)
      response.write(connectedFrame)
      const cut = () => void response.destroy()
      cuts.add(cut)
      const send = () => {
        for (const batch of logs.get(id) ?? []) {
          if (lastSeqOf(batch) <= seq) continue
          seq = lastSeqOf(batch)
          response.write(batchFrame(batch, id))
          if (batch.events.at(-1)?.type.startsWith('run_') && seq > 1 && batch.firstSeq > 1) response.end(returnFrame)
        }
      }
      followers.add(send)
      response.on('close', () => {
        followers.delete(send)
        cuts.delete(cut)
      })
      send()
    },
  })
  return {
    wire,
    messages,
    begin,
    beginRetry,
    get current() {
      return current
    },
    cut: () => cuts.forEach((cut) => cut()),
    addTurn(prompt, answer) {
      const runId = newId()
      store('user', prompt, { runId })
      store('assistant', answer, { runId })
    },
    [Symbol.asyncDispose]: async () => await wire[Symbol.asyncDispose](),
  }
}
