import type { ApiOptions } from '../api-options.ts'

/** A wait around `reconnectMs`, another for each: after a server has gone, its clients do not all come back in one moment. */
export function reconnectDelayMs({ reconnectMs }: ApiOptions): number {
  const fraction = (crypto.getRandomValues(new Uint16Array(1))[0] ?? 0) / 0xffff
  return reconnectMs * (0.5 + fraction)
}
