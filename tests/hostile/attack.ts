/** A way to hurt a server, and what the hostile caller gets for it. */
import { WireError } from '@verbatim/core'
import { ask } from './calls.ts'
import type { Call, Reply } from './calls.ts'

export interface Attack {
  readonly name: string
  /** It reads the caller's session that took days to fill. */
  readonly readsFullSession?: boolean
  /** How much longer than the others it takes, for what it has to try. @default 1 */
  readonly times?: number
  /** Goes on until `signal` aborts; what it holds is released then. */
  run(target: AttackTarget): Promise<void>
}

/** The hostile caller of an attack is signed in, and in the tenant of all others. Each has its own: no attack waits for the pace of the one before. */
export function hostileUserOf({ name }: Attack): string {
  return `mallory_${name.replaceAll(/\W+/g, '_')}`
}

export interface AttackTarget {
  /** The hostile caller. */
  readonly user: string
  readonly port: number
  readonly tally: Tally
  readonly signal: AbortSignal
  /** Differs from phase to phase, so that no two meet the same sessions. */
  readonly phase: string
}

/** What the hostile caller was answered. */
export class Tally {
  readonly #counts = new Map<string, number>()
  /** Refusals that are no typed error, one of each kind. */
  readonly #untyped = new Map<string, string>()

  add(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  addReply({ status, text }: Reply, sent: string): void {
    if (status < 400) return this.add('ok')
    const code = codeOf(text)
    if (code === undefined) this.#untyped.set(`${status}`, `${sent}: ${status} ${text.slice(0, 200)}`)
    this.add(code ?? `untyped ${status}`)
    if (code === 'INTERNAL') this.#untyped.set(code, `${sent}: ${text.slice(0, 200)}`)
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  get untyped(): readonly string[] {
    return [...this.#untyped.values()]
  }
}

/** The code of the first error in a body: tRPC's shape, a batch of it, or the plain one. */
function codeOf(body: string): string | undefined {
  try {
    const parsed = JSON.parse(body) as unknown // each form below is checked
    const [first] = Array.isArray(parsed) ? parsed.filter((one) => 'error' in one) : [parsed]
    const { error } = first as { error?: { data?: { verbatim?: unknown } } } // checked by the schema
    return WireError.safeParse(error?.data?.verbatim ?? error).data?.code
  } catch {
    return undefined
  }
}

/** Makes calls, `concurrency` at once, until the attack is over. */
export async function flood(
  target: AttackTarget,
  concurrency: number,
  next: (nth: number) => Call | Promise<Call>,
): Promise<void> {
  const { signal } = target
  let nth = 0
  const caller = async (): Promise<void> => {
    while (!signal.aborted) await callOnce(target, await next(nth++))
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
}

/** One call as the hostile user, in the tally; it never rejects. */
export async function callOnce({ port, user, tally, signal }: AttackTarget, call: Call): Promise<Reply | undefined> {
  try {
    const reply = await ask(port, { user, ...call, signal })
    tally.addReply(reply, call.name ?? call.path.slice(0, 80))
    return reply
  } catch {
    if (!signal.aborted) tally.add('cut')
    return undefined
  }
}
