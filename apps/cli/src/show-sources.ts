import { sourcesOf } from '@verbatim/core'
import type { ContentBlock, Source } from '@verbatim/core'
import { toPrintable } from './terminal.ts'

const maxShown = 8
const maxTitleLength = 80

/** Where an answer has its facts from, as a few lines; none when it names nothing. A title is a stranger's text: it moves nothing. */
export function showSources(content: readonly ContentBlock[]): string[] {
  const sources = sourcesOf(content)
  if (sources.length === 0) return []
  const lines = sources.slice(0, maxShown).map((source, at) => `  ${at + 1}. ${lineOf(source)}`)
  const more = sources.length - lines.length
  return ['Sources:', ...lines, ...(more > 0 ? [`  and ${more} more`] : [])]
}

function lineOf({ url, title }: Source): string {
  const line = toPrintable(title.replaceAll(/\s+/g, ' ')).trim()
  const short = line.length > maxTitleLength ? `${line.slice(0, maxTitleLength - 1).toWellFormed()}…` : line
  return url === null || url === line ? short : `${short} ${toPrintable(url)}`
}
