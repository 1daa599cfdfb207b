/** The one source of randomness of a plan: the seed decides everything. */

export interface Random {
  /** From 0 (included) to 1 (excluded). */
  fraction(): number
  /** A whole number from `from` to `to`, both included. */
  int(from: number, to: number): number
  chance(probability: number): boolean
  pick<TItem>(items: readonly TItem[]): TItem
  /** An independent generator for `name`: its draws do not change the draws here. */
  fork(name: string): Random
  uuid(): string
}

/** Mulberry32 by Tommy Ettinger (public domain, 2017): 32 bits of state, passes gjrand. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** FNV-1a, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

export function createRandom(seed: number | string): Random {
  const name = String(seed)
  const fraction = mulberry32(hashOf(name))
  const int = (from: number, to: number) => from + Math.floor(fraction() * (to - from + 1))
  return {
    fraction,
    int,
    chance: (probability) => fraction() < probability,
    pick(items) {
      const picked = items[int(0, items.length - 1)]
      if (picked === undefined) throw new Error('Nothing to pick from')
      return picked
    },
    fork: (forkName) => createRandom(`${name}/${forkName}`),
    uuid() {
      const hex = Array.from({ length: 32 }, () => int(0, 15).toString(16)).join('')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
    },
  }
}
