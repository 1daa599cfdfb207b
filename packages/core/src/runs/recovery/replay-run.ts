/** The state of a run as its log tells it, for a process that takes it over: all that is left of what the lost process knew. */
import { blockOf } from '../../contract/event.ts'
import type { AgentEvent, EventBatch, RunEvent } from '../../contract/event.ts'
import { unknownOutcome } from '../../contract/interruption.ts'
import type { RunMetrics } from '../../contract/metrics.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import type { Answer } from '../../contract/reduce-events.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { createMetricsCollector } from '../lifecycle/run-metrics.ts'

export interface Replayed {
  /** The answer with {@link settled} applied. */
  readonly answer: Answer
  /** Times that only the lost process knew are not made up. */
  readonly metrics: RunMetrics
  /** Results for the calls of tools that may have run and of which the log has no result: to be stored before the end. */
  readonly settled: readonly AgentEvent[]
  /** The whole log, while it only begins the run: nothing of the answer is stored. */
  readonly beginning: readonly RunEvent[] | undefined
  /** True when the model had said all it wanted to: only the run's end is missing. */
  readonly isWhole: boolean
}

const maxBatchesPerRead = 256

export async function replayRun({ ports }: EngineContext, owned: OwnedRun, signal: AbortSignal): Promise<Replayed> {
  const collector = createMetricsCollector()
  const calls = createCallTracker()
  let answer: Answer = emptyAnswer
  let last: RunEvent | undefined
  let beginning: readonly RunEvent[] | undefined = []
  let startedAt = owned.run.createdAt
  const apply = (batch: EventBatch) => {
    answer = reduceEvents(answer, batch)
    for (const event of batch.events) {
      collector.add(event, 0)
      calls.add(event)
      if (event.type === 'run_started') startedAt = event.startedAt
    }
    // Data may come after the model's last word.
    last = batch.events.findLast(({ type }) => type !== 'data') ?? last
    beginning = batch.events.every(isBeginning) ? beginning && [...beginning, ...batch.events] : undefined
  }
  const readOn = async () =>
    await ports.eventLog.read(owned.key, { after: answer.lastSeq, maxBatches: maxBatchesPerRead, signal })
  for (let batches = await readOn(); batches.length > 0; batches = await readOn()) batches.forEach(apply)
  const lastStored = last?.type
  const settled = calls.open().map(toUnknownResult)
  if (settled.length > 0) apply({ firstSeq: answer.lastSeq + 1, events: settled })
  const latencyMs = Math.max(0, ports.clock.now().getTime() - Date.parse(startedAt))
  const metrics = { ...collector.total(latencyMs), timeToFirstTokenMs: null }
  return {
    answer,
    metrics,
    settled,
    beginning,
    isWhole: lastStored === 'message_stop' && settled.length === 0 && isLastWord(metrics.stopReason),
  }
}

function isBeginning({ type }: RunEvent): boolean {
  return type === 'run_queued' || type === 'run_started' || type === 'run_resumed'
}

/**
 * Which calls of tools may have run without a result. An agent runs them after the end of the model call that asked, and only
 * when that is stored (see drive-run.ts): a call whose `message_stop` is not in the log was never made.
 */
function createCallTracker() {
  let asked: string[] = []
  let open: string[] = []
  return {
    add(event: RunEvent): void {
      if (event.type === 'message_start') asked = []
      const block = blockOf(event)
      if (block?.type === 'tool_use') asked.push(block.id)
      if (event.type === 'message_stop') open = [...open, ...asked]
      if (event.type === 'tool_result') open = withoutFirst(open, event.tool_use_id)
    },
    open: (): readonly string[] => open,
  }
}

/** One result answers one call: a provider may give two calls the same id. */
function withoutFirst(ids: readonly string[], id: string): string[] {
  const at = ids.indexOf(id)
  return ids.filter((_id, index) => index !== at)
}

function toUnknownResult(toolUseId: string): AgentEvent {
  return { type: 'tool_result', tool_use_id: toolUseId, content: unknownOutcome, is_error: true, durationMs: 0 }
}

/** Why a model call ends that another one follows: for tools, for leave to go on, after a summary of what came before. */
const unfinishedReasons: ReadonlySet<string | null> = new Set([null, 'tool_use', 'pause_turn', 'compaction'])

function isLastWord(stopReason: string | null): boolean {
  return !unfinishedReasons.has(stopReason)
}
