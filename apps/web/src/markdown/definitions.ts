/**
 * Addresses that stand apart from their links, as at the end of an answer: `[1]: https://example.com`. A part is parsed together with those that
 * it names, so that one which comes late is no reason to parse the whole answer as one.
 */
import { createContext, use, useMemo } from 'react'

/** A definition that is one line and needs no parser to be found. Footnotes are more than that. */
export const plainDefinition =
  /^\[(?!\^)((?:[^\][\\]|\\.){1,999})\]:[ \t]*(?:<[^<>\n]*>|[^\s<]\S*)(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'|\([^()\n]*\)))?[ \t]*\r?\n?$/

/** The line of each label. */
type Definitions = ReadonlyMap<string, string>

/** The definitions of the text, for what is parsed by itself. */
export const DefinitionsContext = createContext<Definitions>(new Map())

/** Those of `lines`, a line each, beside those `of` the text around. Of two with one label the first counts (CommonMark 0.31, section 4.7). */
export function readDefinitions(lines: string, of: Definitions = new Map()): Definitions {
  if (lines === '') return of
  const all = new Map(of)
  for (const line of lines.split(/(?<=\n)/)) {
    const label = labelOf(plainDefinition.exec(line)?.[1] ?? '')
    if (label !== '' && !all.has(label)) all.set(label, line)
  }
  return all
}

/** `source`, and before it the definitions that it names: they show nothing by themselves. */
export function useWithDefinitions(source: string): string {
  const definitions = use(DefinitionsContext)
  return useMemo(() => withDefinitions(source, definitions), [source, definitions])
}

const brackets = /\[((?:[^\][\\]|\\.){1,999})\]/g

export function withDefinitions(source: string, definitions: Definitions): string {
  if (definitions.size === 0) return source
  const named = new Set<string>()
  for (const [, label = ''] of source.matchAll(brackets)) {
    const line = definitions.get(labelOf(label))
    if (line !== undefined) named.add(line.trimEnd())
  }
  return named.size === 0 ? source : `${[...named].join('\n')}\n\n${source}`
}

/** Labels are the same in any case and with any white space; in a quote its marks are white space too. */
function labelOf(text: string): string {
  const plain = text.replaceAll(/\n[ \t>]*/g, ' ').replaceAll(/[\t\r ]+/g, ' ')
  return plain.trim().toLowerCase().toUpperCase()
}
