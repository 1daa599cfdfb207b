/** A word of a code that has a color of its own. */
export interface Token {
  readonly scope: Scope
  readonly start: number
  readonly end: number
}

/** The few colors of the page. */
const scopes = ['keyword', 'string', 'number', 'comment', 'title', 'type', 'attribute', 'deletion'] as const
export type Scope = (typeof scopes)[number]

/** Three numbers for each token: between threads they cost nothing, and thousands of objects would. */
export function packTokens(tokens: readonly Token[]): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(tokens.flatMap(({ scope, start, end }) => [scopes.indexOf(scope), start, end]))
}

export function unpackTokens(packed: Uint32Array): Token[] {
  return Array.from({ length: packed.length / 3 }, (_, at) => {
    const [scope = 0, start = 0, end = 0] = packed.subarray(3 * at, 3 * at + 3)
    return { scope: scopes[scope] ?? 'keyword', start, end }
  })
}
