import type { Interceptor } from './intercepted-client.ts'

/** What every write throws from a power cut on. */
export class PowerCut extends Error {}

/** Breaks off before or after the n-th write. */
export function powerCutAt(write: number, when: 'before' | 'after'): Interceptor {
  let writes = 0
  return async ({ method }, proceed) => {
    if (method === 'countDocuments') return await proceed()
    writes++
    if (writes > write || (writes === write && when === 'before')) throw new PowerCut()
    const answer = await proceed()
    if (writes === write) throw new PowerCut()
    return answer
  }
}
