/** Cuts a long paragraph into pieces, between which no emphasis, link or code goes on. */
import { createLineReader } from './read-lines.ts'
import { plainLine } from './split-markdown.ts'

/** Some of a paragraph, and what stands between it and the next piece. */
interface Piece {
  readonly source: string
  readonly after: '' | ' ' | '\n'
}

export interface ParagraphLayout {
  readonly type: 'paragraph'
  readonly pieces: readonly Piece[]
}

/** A piece is cut at the first good place past `least`, and anywhere between two words past `most`. */
const pieceLength = { least: 1_000, most: 4_000 }

/** Of a text that grows. Undefined when it may be anything but one paragraph. */
export function createParagraphSplitter(): (source: string) => ParagraphLayout | undefined {
  const readLines = createLineReader({ isPlain: true, hasEnded: false }, ({ isPlain, hasEnded }, line) => {
    const isBlank = line.trim() === ''
    return { isPlain: isPlain && (isBlank || (!hasEnded && plainLine.test(line))), hasEnded: hasEnded || isBlank }
  })
  let known: { readonly text: string; readonly pieces: readonly Piece[] } = { text: '', pieces: [] }
  return (source) => {
    if (!readLines(source).isPlain) return undefined
    const text = source.trimEnd()
    // Text that is added moves no cut.
    const whole = text.startsWith(known.text) ? known.pieces.slice(0, -1) : []
    known = { text, pieces: [...whole, ...piecesFrom(text, lengthOf(whole))] }
    return { type: 'paragraph', pieces: known.pieces }
  }
}

function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((length, { source, after }) => length + source.length + after.length, 0)
}

function piecesFrom(text: string, start: number): Piece[] {
  const pieces: Piece[] = []
  let begin = start
  while (text.length - begin > pieceLength.least) {
    const cut = findCut(text, begin)
    if (cut === undefined) break
    pieces.push({ source: text.slice(begin, cut.end), after: cut.after })
    begin = cut.end + cut.after.length
  }
  return [...pieces, { source: text.slice(begin), after: '' }]
}

interface Cut {
  readonly end: number
  readonly after: Piece['after']
}

/** One space or newline before a word, or the end of a sentence of a script without spaces. */
const place = /(?<=\S)([ \n])(?=[\p{L}"“‘(（「《])|(?<=[。！？；，、])(?=\p{L})/gu

function findCut(text: string, begin: number): Cut | undefined {
  place.lastIndex = begin + pieceLength.least
  for (let found = place.exec(text); found !== null; found = place.exec(text)) {
    const cut: Cut = { end: found.index, after: found[1] === ' ' || found[1] === '\n' ? found[1] : '' }
    if (found.index - begin > pieceLength.most || isClosed(text.slice(begin, found.index))) return cut
    if (found[1] === undefined) place.lastIndex = found.index + 1
  }
  // A text without any such place, as a key or a checksum is.
  return text.length - begin > 1.5 * pieceLength.most ? { end: begin + pieceLength.most, after: '' } : undefined
}

/** True when whatever the piece opens, it closes. */
function isClosed(piece: string): boolean {
  const text = piece.replaceAll(/(`+)[^`]+\1/g, '').replaceAll(/\$[^$\n]+\$/g, '')
  if (/[`\\<$]/.test(text)) return false
  const count = (mark: string) => text.split(mark).length - 1
  const arePaired = ['*', '_', '~'].every((mark) => count(mark) % 2 === 0)
  return arePaired && count('[') === count(']') && count('(') === count(')')
}
