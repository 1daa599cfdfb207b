/**
 * Where an answer has its facts from. In: blocks as the provider sent them. Out: what people are shown. Kinds and fields that this
 * version does not know are left out, so a new shape of a result is no error.
 */
import type { ContentBlock, TextBlock } from './content-block.ts'
import type { JsonValue } from './json-value.ts'

/** A page, or a document of the conversation. */
export interface Source {
  /** An address of http or https; null for a document, and for any other address: a model may have written it. */
  readonly url: string | null
  readonly title: string
}

/** A passage that a text rests on. */
export interface Citation extends Source {
  /** The passage; empty where the provider names none. */
  readonly citedText: string
}

/** What `block` cites, in order. */
export function citationsOf({ citations = [] }: TextBlock): Citation[] {
  return citations.flatMap((citation) => {
    const source = toSource(citation)
    return source === undefined ? [] : [{ ...source, citedText: textIn(citation, 'cited_text') ?? '' }]
  })
}

/** The sources of an answer, each once: those that it cites, or all that were found when it cites none. */
export function sourcesOf(content: readonly ContentBlock[]): Source[] {
  const cited = content.flatMap((block) => (block.type === 'text' ? citationsOf(block) : []))
  return withoutRepeats(cited.length > 0 ? cited : content.flatMap(foundSources))
}

/** The place of `source` among `sources`; -1 when it is not there. */
export function indexOfSource(sources: readonly Source[], source: Source): number {
  return sources.findIndex(({ url, title }) => url === source.url && (url !== null || title === source.title))
}

function withoutRepeats(sources: readonly Source[]): Source[] {
  return sources.filter((source, at) => indexOfSource(sources, source) === at).map(({ url, title }) => ({ url, title }))
}

/** The pages that the provider's own tools found or read. */
function foundSources(block: ContentBlock): Source[] {
  if (block.type !== 'web_search_tool_result' && block.type !== 'web_fetch_tool_result') return []
  const results = Array.isArray(block.content) ? block.content : [block.content]
  return results.flatMap((result) => toSource(result) ?? [])
}

function toSource(json: JsonValue): Source | undefined {
  const address = textIn(json, 'url') ?? textIn(json, 'source')
  const title = textIn(json, 'title') ?? textIn(json, 'document_title') ?? address
  return title === undefined ? undefined : { url: toSafeUrl(address), title }
}

/** Any other protocol could run a script, or open a program. */
function toSafeUrl(address: string | undefined): string | null {
  if (address === undefined || !URL.canParse(address)) return null
  const { protocol, href } = new URL(address)
  return protocol === 'https:' || protocol === 'http:' ? href : null
}

function textIn(json: JsonValue, field: string): string | undefined {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  const value = json[field]
  return typeof value === 'string' && value.trim() !== '' ? value : undefined
}
