/**
 * Markdown for a terminal, while it streams: every character stays as it came and in its place, and only gets weight or colour.
 * So what a person copies is what the model wrote. In: text in any cut. Out: the same text with SGR sequences (ECMA-48, 8.3.117).
 */

const sgr = { bold: [1, 22], dim: [2, 22], code: [36, 39] } as const
type Style = keyof typeof sgr

/** What is between two lines: inside a fenced block only its fence ends it. */
type Line = 'start' | 'text' | 'heading' | 'quote' | 'fence' | 'code'

/** A line's first characters, as long as they may become a marker of Markdown. */
const maybeMarker = /^ {0,3}(?:#{0,6}|>?|`{0,2}|~{0,2})$/
/** A run of markers that the next character may make longer. */
const openRun = /(?:`+|\*+)$/

export class MarkdownStyle {
  #held = ''
  #line: Line = 'start'
  /** The fence that opened the block which goes on. */
  #fence: string | undefined
  /** The backticks that opened the code span which goes on. */
  #span: string | undefined
  #isStrong = false
  #previous = '\n'

  /** `text` with its styles, but for a few characters whose meaning the next ones decide. */
  style(text: string): string {
    const all = this.#held + text
    this.#held = ''
    let styled = ''
    for (const part of all.split(/(?<=\n)/)) styled += this.#stylePart(part)
    return styled
  }

  /** What was held, and the end of every style. */
  end(): string {
    const styled = this.#held === '' ? '' : this.#styleText(this.#held)
    this.#held = ''
    this.#fence = undefined
    return styled + this.#endLine()
  }

  /** A line, or the part of one that has come. */
  #stylePart(part: string): string {
    const isWhole = part.endsWith('\n')
    const text = isWhole ? part.slice(0, -1) : part
    const held = isWhole ? '' : this.#heldOf(text)
    this.#held = held
    const known = text.slice(0, text.length - held.length)
    return this.#styleText(known) + (isWhole ? `${this.#endLine()}\n` : '')
  }

  #heldOf(text: string): string {
    if (this.#line === 'start' && (maybeMarker.test(text) || /^ {0,3}[`~]{3,}[^\n]*$/.test(text))) return text
    return this.#line === 'code' || this.#line === 'fence' ? '' : (openRun.exec(text)?.[0] ?? '')
  }

  #styleText(text: string): string {
    if (text === '') return ''
    const opening = this.#line === 'start' ? this.#beginLine(text) : ''
    return opening + (this.#line === 'text' ? this.#styleInline(text) : text)
  }

  /** Decides by its first characters what kind of line begins. */
  #beginLine(text: string): string {
    const fence = /^ {0,3}(`{3,}|~{3,})(.*)$/s.exec(text)
    if (this.#fence !== undefined) {
      const isEnd = fence?.[1]?.startsWith(this.#fence) === true && fence[2]?.trim() === ''
      if (isEnd) this.#fence = undefined
      this.#line = isEnd ? 'fence' : 'code'
    } else if (fence?.[1] !== undefined && !(fence[1].startsWith('`') && fence[2]?.includes('`') === true)) {
      this.#fence = fence[1]
      this.#line = 'fence'
    } else if (/^ {0,3}#{1,6}(?: |$)/.test(text)) this.#line = 'heading'
    else if (/^ {0,3}>/.test(text)) this.#line = 'quote'
    else this.#line = 'text'
    const style = lineStyles[this.#line]
    return style === undefined ? '' : on(style)
  }

  #endLine(): string {
    const style = lineStyles[this.#line]
    const inline = `${this.#span === undefined ? '' : off('code')}${this.#isStrong ? off('bold') : ''}`
    this.#line = 'start'
    this.#span = undefined
    this.#isStrong = false
    this.#previous = '\n'
    return style === undefined ? inline : off(style)
  }

  #styleInline(text: string): string {
    let styled = ''
    for (const part of text.split(/(`+|\*{2,})/)) {
      if (part === '') continue
      styled += this.#styleMarker(part)
      this.#previous = part.slice(-1)
    }
    return styled
  }

  /** Code spans end with as many backticks as they began with (CommonMark 6.1); strong text is between words (6.2). */
  #styleMarker(part: string): string {
    if (part.startsWith('`')) {
      if (this.#span === undefined) {
        this.#span = part
        return on('code') + part
      }
      if (this.#span !== part) return part
      this.#span = undefined
      return part + off('code')
    }
    if (!part.startsWith('**') || this.#span !== undefined) return part
    if (this.#isStrong) {
      this.#isStrong = false
      return part + off('bold')
    }
    if (/[\p{L}\p{N}]/u.test(this.#previous)) return part
    this.#isStrong = true
    return on('bold') + part
  }
}

const lineStyles: Record<Line, Style | undefined> = {
  start: undefined,
  text: undefined,
  heading: 'bold',
  quote: 'dim',
  fence: 'dim',
  code: 'code',
}

function on(style: Style): string {
  return `\u001B[${sgr[style][0]}m`
}

function off(style: Style): string {
  return `\u001B[${sgr[style][1]}m`
}
