import { useEffect, useRef } from 'react'
import type { RefObject } from 'react'
import type { Token } from './tokens-of-code.ts'

/** How often code that grows is colored anew, in milliseconds. */
const everyMs = 250
/** Past this many characters the colors would cost more time than they are worth; what comes after stays plain. */
const maxCharacters = 30_000

/**
 * Colors the code in `element`. The colors lie over its text (CSS Custom Highlight API) and change no element, so that a text
 * which grows is not drawn again for them. Browsers without them show plain code.
 */
export function useHighlight(
  element: RefObject<HTMLElement | null>,
  { language, code }: { language: string; code: string },
): void {
  const newest = useRef({ language, code })
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const ranges = useRef<ColoredRange[]>([])
  useEffect(() => {
    newest.current = { language, code }
    if (!isColored(language, code)) return
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      void paint(element, { newest, ranges })
    }, everyMs)
  }, [element, language, code])
  useEffect(
    () => () => {
      clearTimeout(timer.current)
      timer.current = undefined
      remove(ranges.current)
      ranges.current = []
    },
    [],
  )
}

interface ColoredRange {
  readonly scope: string
  readonly range: StaticRange
}

interface Painted {
  readonly newest: RefObject<{ readonly language: string; readonly code: string }>
  readonly ranges: RefObject<ColoredRange[]>
}

function isColored(language: string, code: string): boolean {
  return language !== '' && language !== 'text' && code.length <= maxCharacters && 'highlights' in CSS
}

async function paint(element: RefObject<HTMLElement | null>, { newest, ranges }: Painted): Promise<void> {
  try {
    const { tokensOfCode } = await import('./tokens-of-code.ts')
    // The block may be gone when the words of its language are here.
    if (element.current === null || !isColored(newest.current.language, newest.current.code)) return
    remove(ranges.current)
    ranges.current = rangesOf(element.current, tokensOfCode(newest.current))
    for (const { scope, range } of ranges.current) highlightOf(scope).add(range)
  } catch {
    // The network is away: the code stays plain.
  }
}

function remove(ranges: readonly ColoredRange[]): void {
  for (const { scope, range } of ranges) highlightOf(scope).delete(range)
}

/** All blocks of the page share one highlight for each scope. */
function highlightOf(scope: string): Highlight {
  const name = `code-${scope}`
  const known = CSS.highlights.get(name)
  if (known !== undefined) return known
  const made = new Highlight()
  CSS.highlights.set(name, made)
  return made
}

/** Static ranges: they stay where they are when the text after them grows. */
function rangesOf(element: HTMLElement, tokens: readonly Token[]): ColoredRange[] {
  const places = placesIn(element)
  return tokens.flatMap(({ scope, start, end }) => {
    const from = places(start)
    const to = places(end)
    if (from === undefined || to === undefined) return []
    const range = new StaticRange({
      startContainer: from.node,
      startOffset: from.offset,
      endContainer: to.node,
      endOffset: to.offset,
    })
    return [{ scope, range }]
  })
}

/** Finds places in the text by their character; asked in rising order. */
function placesIn(element: HTMLElement): (at: number) => { node: Text; offset: number } | undefined {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT)
  let node = walker.nextNode()
  let begin = 0
  return (at) => {
    while (node instanceof Text && at > begin + node.length) {
      begin += node.length
      node = walker.nextNode()
    }
    return node instanceof Text ? { node, offset: at - begin } : undefined
  }
}
