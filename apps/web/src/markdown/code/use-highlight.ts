import { useEffect, useRef } from 'react'
import type { RefObject } from 'react'
import { createAsk } from '../ask-worker.ts'
import { unpackTokens } from './token.ts'
import type { Token } from './token.ts'
import type { Code } from './tokens-of-code.ts'

const askForColors = createAsk<Code, Uint32Array>(
  () => new Worker(new URL('./color-worker.ts', import.meta.url), { type: 'module' }),
)

/** How often code that grows is colored anew, in milliseconds. */
const everyMs = 250
/** What comes after so many characters stays plain: to paint its colors would take longer than they are worth. */
const maxCharacters = 30_000

/**
 * Colors the code in `element`. The colors lie over its text (CSS Custom Highlight API) and change no element, so that a text
 * which grows is not drawn again for them. Browsers without them show plain code.
 */
export function useHighlight(
  element: RefObject<HTMLElement | null>,
  { language, code }: { language: string; code: string },
): void {
  const text = code.slice(0, maxCharacters)
  const newest = useRef({ language, text })
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const colored = useRef<ColoredToken[]>([])
  useEffect(() => {
    newest.current = { language, text }
    if (!isColored(language)) return
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      void paint(element, { newest, colored })
    }, everyMs)
  }, [element, language, text])
  useEffect(
    () => () => {
      clearTimeout(timer.current)
      timer.current = undefined
      remove(colored.current)
      colored.current = []
    },
    [],
  )
}

interface ColoredToken extends Token {
  readonly range: StaticRange
}

interface Painted {
  readonly newest: RefObject<{ readonly language: string; readonly text: string }>
  readonly colored: RefObject<ColoredToken[]>
}

function isColored(language: string): boolean {
  return language !== '' && language !== 'text' && 'highlights' in CSS
}

async function paint(element: RefObject<HTMLElement | null>, { newest, colored }: Painted): Promise<void> {
  const { language, text } = newest.current
  try {
    const tokens = unpackTokens(await askForColors({ language, code: text }))
    // The block may be gone, or hold another code, when the words of its language are here.
    if (element.current === null || !newest.current.text.startsWith(text)) return
    const same = colored.current.findIndex((token, at) => !isSame(token, tokens[at]))
    const kept = same === -1 ? colored.current : colored.current.slice(0, same)
    remove(colored.current.slice(kept.length))
    const added = withRanges(element.current, tokens.slice(kept.length))
    for (const { scope, range } of added) highlightOf(scope).add(range)
    colored.current = [...kept, ...added]
  } catch {
    // The network is away: the code stays plain.
  }
}

function isSame(token: Token, other: Token | undefined): boolean {
  return token.scope === other?.scope && token.start === other.start && token.end === other.end
}

function remove(tokens: readonly ColoredToken[]): void {
  for (const { scope, range } of tokens) highlightOf(scope).delete(range)
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
function withRanges(element: HTMLElement, tokens: readonly Token[]): ColoredToken[] {
  const places = placesIn(element)
  return tokens.flatMap((token) => {
    const from = places(token.start)
    const to = places(token.end)
    if (from === undefined || to === undefined) return []
    const range = new StaticRange({
      startContainer: from.node,
      startOffset: from.offset,
      endContainer: to.node,
      endOffset: to.offset,
    })
    return [{ ...token, range }]
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
