/** Runs beside the page, so that coloring a long code holds up no key. */
import { packTokens } from './token.ts'
import { tokensOfCode } from './tokens-of-code.ts'
import type { Code } from './tokens-of-code.ts'

globalThis.addEventListener('message', ({ data: { id, input } }: MessageEvent<{ id: number; input: Code }>) => {
  const output = packTokens(tokensOfCode(input))
  globalThis.postMessage({ id, output }, { transfer: [output.buffer] })
})
