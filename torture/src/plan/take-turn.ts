/** Sends one prompt of a plan, reads its answer with all readers, and cancels or retries it if the plan says so. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isTerminalEvent } from '@verbatim/core'
import type { Run } from '@verbatim/core'
import { imageOf } from '../image.ts'
import { inputFor, promptInput, promptText } from '../prompt.ts'
import { createRandom } from '../random.ts'
import { followByAiSdk } from '../clients/ai-sdk-reader.ts'
import { History } from '../clients/history.ts'
import { readRun } from '../clients/raw-reader.ts'
import { cancelOnce, retryOnce, startAndHangUp, startOnce, untilAnswered } from '../clients/raw-calls.ts'
import type { StartInput } from '../clients/raw-calls.ts'
import { followBySdk, openClient, sendAndRead } from '../clients/sdk-reader.ts'
import type { World } from '../world/world.ts'
import type { ClientPaths } from './client-paths.ts'
import { isAcked, newEvidence, noteAcked, noteSent } from './evidence.ts'
import type { RunEvidence } from './evidence.ts'
import type { CancelPlan, ReaderPlan } from './plan.ts'

export interface TurnContext {
  readonly world: World
  readonly paths: ClientPaths
  /** Aborts at the end of the plan's time. */
  readonly signal: AbortSignal
  readonly violations: string[]
}

/** Resolves when every reader has read the run to its end; calls `onEnded` when the first one has. */
export async function takeTurn(context: TurnContext, run: RunEvidence, onEnded: () => void): Promise<void> {
  const { turn } = run
  const keeper: ReaderPlan = { type: 'raw', via: turn.via, joinAfterMs: 0, dropEvery: 0, slowMs: 0 }
  const keeping = read(context, run, keeper).then(() => retry(context, run, keeper))
  const reading = [keeping.finally(onEnded), ...turn.readers.map((plan) => read(context, run, plan))]
  await send(context, run)
  const cancelling = turn.cancel === null || !isAcked(run) ? undefined : cancel(context, run, turn.cancel)
  await Promise.all([...reading, cancelling])
}

async function read(context: TurnContext, run: RunEvidence, plan: ReaderPlan): Promise<void> {
  const { world, paths, signal } = context
  const { runId } = run
  if (plan.joinAfterMs > 0) await sleep(plan.joinAfterMs, undefined, { signal }).catch(() => {})
  if (plan.type === 'raw') {
    const history = new History(runId, `raw-${plan.via}${plan.dropEvery > 0 ? `-drop${plan.dropEvery}` : ''}`)
    run.histories.push(history)
    return await readRun({
      history,
      endpoints: [world.server(plan.via).front, world.server(plan.via + 1).front],
      signal,
      dropEvery: plan.dropEvery,
      slowMs: plan.slowMs,
      wasAcked: () => isAcked(run),
      isAbandoned: () => run.isAbandoned,
    })
  }
  // The client gives up on a run that does not exist yet, so it joins after the start.
  while (!isAcked(run) && !run.isAbandoned && !signal.aborted) await sleep(20)
  if (run.isAbandoned && !isAcked(run)) return
  const path = await paths.open(plan.via)
  if (plan.type === 'ai-sdk') return void run.chunkHistories.push(await followByAiSdk(path, runId, signal))
  await using client = openClient(path)
  run.sdkHistories.push(await followBySdk(client, runId, signal))
}

async function send(context: TurnContext, run: RunEvidence): Promise<void> {
  const { turn } = run
  const input = inputOf(run)
  if (!(await upload(context, run))) return
  noteSent(run)
  const servers = [context.world.server(turn.via).front, context.world.server(turn.via + 1).front] as const
  switch (turn.start) {
    case 'repeated':
      return await sendUntilAnswered(context, run, input)
    case 'duplicate': {
      const answers = await Promise.all(servers.map(async (endpoint) => await startOnce(endpoint, input)))
      for (const answer of answers) if (answer.type === 'data') takeAck(run, answer.data)
      return await sendUntilAnswered(context, run, input)
    }
    case 'answer_lost':
      await startAndHangUp(servers[0], input, turn.hangUpAfterMs)
      return await sendUntilAnswered(context, run, input)
    case 'abandoned':
      await startAndHangUp(servers[0], input, turn.hangUpAfterMs)
      run.isAbandoned = true
      return
    case 'sdk':
      return await sendBySdk(context, run, input)
  }
}

/** Before its prompt a client uploads the image. False when no server took it; then there is nothing to send. */
async function upload(context: TurnContext, run: RunEvidence): Promise<boolean> {
  const { paths, signal, violations } = context
  const { turn, runId } = run
  const { imageId } = turn.prompt
  if (imageId === null) return true
  await using client = openClient(await paths.open(turn.via))
  const uploading = client.attachments.upload(new Blob([imageOf(imageId)]), { id: imageId, signal })
  await Promise.all([
    refuseUnknown(context, run),
    uploading.then(
      () => (run.isUploaded = true),
      (error: unknown) => violations.push(`the image of ${runId} was not taken: ${String(error)}`),
    ),
  ])
  run.isAbandoned = !run.isUploaded
  return run.isUploaded
}

/** Another prompt, which names a file that never was. The checker finds what a refused start stores: no client asked for its run. */
async function refuseUnknown({ world, signal, violations }: TurnContext, run: RunEvidence): Promise<void> {
  const { session, turn, runId } = run
  const random = createRandom(`unknown/${runId}`)
  const prompt = { ...turn.prompt, runId: random.uuid(), imageId: random.uuid() }
  const input = inputOf({ session, turn: { ...turn, prompt }, runId: prompt.runId })
  const answer = await untilAnswered(signal, async (at) => await startOnce(world.server(turn.via + at).front, input))
  const isRight = answer.type === 'refused' && answer.error.code === 'ATTACHMENT_NOT_FOUND'
  if (!isRight && !signal.aborted)
    violations.push(`a start with an unknown file was answered ${JSON.stringify(answer)}`)
}

function inputOf({ runId, session, turn }: Pick<RunEvidence, 'runId' | 'session' | 'turn'>): StartInput {
  const { prompt, agentId, whenBusy } = turn
  const asked = { message: promptInput(prompt), agentId, input: inputFor(agentId, promptText(prompt)) }
  return { runId, sessionId: session.sessionId, ...asked, whenBusy }
}

function takeAck(run: RunEvidence, ack: Run): void {
  run.acks.push(ack)
  noteAcked(run)
}

/** Refusals that a plan provokes; the client repeats the call. */
const transient = new Set(['SESSION_BUSY', 'UNAVAILABLE'])

async function sendUntilAnswered(context: TurnContext, run: RunEvidence, input: StartInput): Promise<void> {
  const { world, signal, violations } = context
  for (let tries = 0; !signal.aborted; tries++) {
    const answer = await startOnce(world.server(run.turn.via + tries).front, input)
    if (answer.type === 'data') return takeAck(run, answer.data)
    if (answer.type === 'refused' && !transient.has(answer.error.code)) {
      violations.push(`a start was refused with ${answer.error.code}: ${answer.error.message}`)
      run.isAbandoned = true
      return
    }
    await sleep(40, undefined, { signal }).catch(() => {})
  }
  violations.push(`no server answered the start of ${run.runId}`)
  run.isAbandoned = true
}

async function sendBySdk(context: TurnContext, run: RunEvidence, input: StartInput): Promise<void> {
  const client = openClient(await context.paths.open(run.turn.via))
  const onStarted = () => {
    run.isSdkAcked = true
    noteAcked(run)
  }
  const seen = await sendAndRead(client, input, { signal: context.signal, onStarted })
  await client[Symbol.asyncDispose]()
  // The real client does not repeat a start that a busy session refuses.
  if (seen.refusedWith === 'SESSION_BUSY') return await sendUntilAnswered(context, run, input)
  run.sdkHistories.push(seen)
  if (!run.isSdkAcked) run.isAbandoned = true
}

/** Retries a run that ended without an answer and without a continuation. */
async function retry(context: TurnContext, run: RunEvidence, keeper: ReaderPlan): Promise<void> {
  const { world, signal, violations } = context
  const { session, turn, runId } = run
  const last = run.histories[0]?.last
  if (turn.retryId === null || last === undefined || !isTerminalEvent(last)) return
  if (last.type === 'run_completed' || (last.type === 'run_interrupted' && last.continuedBy !== undefined)) return
  const again = newEvidence(session, turn, runId)
  run.retriedBy = again
  noteSent(again)
  const reading = read(context, again, keeper)
  for (let tries = 0; !isAcked(again) && !again.isAbandoned && !signal.aborted; tries++) {
    const answer = await retryOnce(world.server(turn.via + tries).front, runId, again.runId)
    if (answer.type === 'data') takeAck(again, answer.data)
    else if (answer.type === 'refused' && !transient.has(answer.error.code)) {
      again.isAbandoned = true
      // The refusal is right if another prompt of the session came after the run.
      if (answer.error.code !== 'RUN_NOT_RETRYABLE' || session.turns.length === 1)
        violations.push(`a retry was refused with ${answer.error.code}: ${answer.error.message}`)
    } else await sleep(40, undefined, { signal }).catch(() => {})
  }
  again.isAbandoned ||= !isAcked(again)
  await reading
}

async function cancel({ world, signal }: TurnContext, run: RunEvidence, plan: CancelPlan): Promise<void> {
  await sleep(plan.afterMs, undefined, { signal }).catch(() => {})
  await Promise.all(
    plan.vias.map(async (via) => {
      for (let tries = 0; tries < 20 && !signal.aborted; tries++) {
        run.wasCancelSent = true
        const answer = await cancelOnce(world.server(via + tries).front, run.runId)
        if (answer.type === 'data') return void run.cancels.push(answer.data)
        await sleep(50)
      }
    }),
  )
}
