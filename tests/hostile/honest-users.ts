/**
 * Users as a chat has them: each sends prompts, follows the answers, and reads and writes a little beside. What each call took is
 * kept by kind; a call that failed and an answer that was not whole are kept in words.
 */
import type { Agent } from 'node:http'
import { readFrames } from '../bench/http-client.ts'
import { stampsIn, wallClockMs } from '../bench/workload.ts'
import { ask, mutation, open, query } from './calls.ts'
import type { Call } from './calls.ts'
import type { AnswerPlan } from './server-config.ts'

/** `token` is the delay of each token from the agent to the user; `first` is from a prompt to its first token. */
export const kinds = ['start', 'first', 'token', 'list', 'read', 'append'] as const
export type Kind = (typeof kinds)[number]

export interface Experience {
  /** What was measured, in milliseconds. */
  readonly tookMs: Readonly<Record<Kind, number[]>>
  readonly turns: number
  readonly failures: readonly string[]
}

export interface HonestLoad {
  readonly port: number
  /**
   * The connections of each user, kept from phase to phase as a browser keeps them: a server accepts a new one only after all that
   * came before it.
   */
  readonly users: readonly Agent[]
  readonly seconds: number
}

const answer: AnswerPlan = { tokens: 10, everyMs: 40 }

/** A user waits this long at most. */
const patienceMs = 30_000
/** Between two turns of one user. */
const pauseMs = 400

export async function runHonestUsers({ port, users, seconds }: HonestLoad): Promise<Experience> {
  const tookMs: Record<Kind, number[]> = { start: [], first: [], token: [], list: [], read: [], append: [] }
  const failures: string[] = []
  const endMs = wallClockMs() + seconds * 1_000
  const user = async (agent: Agent, nth: number): Promise<number> => {
    const honest = new HonestUser({ port, name: `user${nth}`, agent }, tookMs)
    let turns = 0
    // They do not all begin at once.
    await sleep((nth * pauseMs) / users.length)
    while (turns === 0 || wallClockMs() < endMs) {
      await honest.takeTurn().catch((error: unknown) => failures.push(String(error)))
      turns++
      await sleep(pauseMs)
    }
    return turns
  }
  const turns = await Promise.all(users.map(user))
  return { tookMs, failures, turns: turns.reduce((sum, one) => sum + one, 0) }
}

interface UserConnection {
  readonly port: number
  readonly name: string
  readonly agent: Agent
}

class HonestUser {
  readonly #of: UserConnection
  readonly #tookMs: Record<Kind, number[]>
  // Both are new: what a session holds decides how much a list has to read.
  readonly #chat = crypto.randomUUID()
  readonly #notes = crypto.randomUUID()

  constructor(of: UserConnection, tookMs: Record<Kind, number[]>) {
    this.#of = of
    this.#tookMs = tookMs
  }

  /** @throws what went wrong first; a turn of its own, so the next one is tried all the same */
  async takeTurn(): Promise<void> {
    const runId = crypto.randomUUID()
    const sentMs = wallClockMs()
    const following = this.#follow(runId, sentMs)
    following.catch(() => {}) // awaited below
    await this.#ask('start', mutation('runs.start', { runId, sessionId: this.#chat, message: JSON.stringify(answer) }))
    await following
    await this.#ask('read', query('runs.get', { runId }))
    await this.#ask('list', query('sessions.list', {}))
    await this.#ask('list', query('messages.list', { sessionId: this.#chat, order: 'newest', limit: 20 }))
    const note = { sessionId: this.#notes, role: 'user', content: 'A note' }
    await this.#ask('append', mutation('messages.append', note))
  }

  async #ask(kind: Kind, call: Call): Promise<void> {
    const sentMs = wallClockMs()
    const { status, text } = await ask(this.#of.port, this.#own(call))
    this.#tookMs[kind].push(wallClockMs() - sentMs)
    if (status !== 200) throw new Error(`${call.path.split('?')[0]} answered ${status}: ${text.slice(0, 200)}`)
  }

  /** Reads the answer to its end; every token must be there once. */
  async #follow(runId: string, sentMs: number): Promise<void> {
    const stream = await open(this.#of.port, this.#own(query('runs.follow', { runId })))
    const stamps: number[] = []
    let end = ''
    await readFrames(stream, (frames, nowMs) => {
      const made = stampsIn(frames)
      if (stamps.length === 0 && made.length > 0) this.#tookMs.first.push(nowMs - sentMs)
      for (const stamp of made) this.#tookMs.token.push(nowMs - stamp)
      stamps.push(...made)
      end = /"type":"(run_(?:completed|refused|failed|cancelled|interrupted))"/.exec(frames)?.[1] ?? end
    })
    if (end !== 'run_completed') throw new Error(`The stream of an answer ended with ${end === '' ? 'nothing' : end}`)
    if (stamps.length !== answer.tokens) throw new Error(`An answer had ${stamps.length} of ${answer.tokens} tokens`)
  }

  #own(call: Call): Call {
    const { name, agent } = this.#of
    return { ...call, user: name, agent, signal: AbortSignal.timeout(patienceMs) }
  }
}

async function sleep(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
