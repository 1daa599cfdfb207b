/** A little of each kind of block. */
const samples = [
  'Some words',
  'Some *words* and `code`, [a link](https://example.com)',
  '- one **item**\n- another',
  '| a | b |\n| - | - |\n| c | d |',
  '## Title\n\n> quoted\n\n$$\nx\n$$',
]

/** Reads the samples, each when the browser has time. It compiles the parser then, and not while the first answer comes and a user types. */
export function warmUp(parse: (markdown: string) => unknown, whenIdle: (action: () => void) => void): void {
  const next = (at: number) => {
    const sample = samples[at]
    if (sample === undefined) return
    parse(sample)
    whenIdle(() => next(at + 1))
  }
  whenIdle(() => next(0))
}
