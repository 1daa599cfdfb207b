import { setTimeout } from 'node:timers/promises'

/** Calls `ask` every `everyMs` until it answers. @throws the signal's reason when it aborts first. */
export async function pollUntil<TAnswer>(
  ask: () => Promise<TAnswer | undefined>,
  { signal, everyMs = 25 }: { signal: AbortSignal; everyMs?: number },
): Promise<TAnswer> {
  for (;;) {
    signal.throwIfAborted()
    const answer = await ask()
    if (answer !== undefined) return answer
    await setTimeout(everyMs, undefined, { signal })
  }
}
