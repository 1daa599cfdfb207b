/** Where an answer has its facts from, as the AI SDK shows sources: each once, numbered in the order of their first mention. */
import { citationsOf, indexOfSource, sourcesOf } from '@verbatim/core'
import type { ContentBlock, Source, TextBlock } from '@verbatim/core'
import type { UIMessageChunk } from 'ai'

type TextEnd = Extract<UIMessageChunk, { type: 'text-end' }>
type Citations = NonNullable<TextEnd['citations']>
type CitedSource = Citations[number]['source']

/** The type of what a document's source points to is not known; the provider quotes text of it. */
const documentType = 'text/plain'

/** Collects the sources of one answer. */
export function createSourceCollector() {
  const cited: Source[] = []
  let found: readonly Source[] = []

  function idOf(source: Source): string {
    return `source-${indexOfSource(cited, source)}`
  }

  return {
    /** Keeps what a tool of the provider found, in case that the answer cites nothing. */
    addFound(block: ContentBlock): void {
      if (block.type !== 'web_search_tool_result' && block.type !== 'web_fetch_tool_result') return
      found = [...found, ...sourcesOf([block])]
    },
    /** What the text of one block cites, and the parts of its sources that are new. */
    cite(block: TextBlock): { readonly citations: Citations; readonly parts: readonly UIMessageChunk[] } {
      const citations = citationsOf(block)
      const before = cited.length
      for (const source of citations) if (indexOfSource(cited, source) === -1) cited.push(source)
      return {
        citations: citations.map((citation) => ({
          source: toCitedSource(citation, idOf(citation)),
          ...(citation.citedText === '' ? {} : { citedText: citation.citedText }),
        })),
        parts: cited.slice(before).map((source) => toSourcePart(source, idOf(source))),
      }
    },
    /** The sources of an answer that has ended without a citation: all that were found. */
    rest(): readonly UIMessageChunk[] {
      if (cited.length > 0) return []
      const once = found.filter((source, at) => indexOfSource(found, source) === at)
      return once.map((source, at) => toSourcePart(source, `source-${at}`))
    },
  }
}

function toSourcePart({ url, title }: Source, sourceId: string): UIMessageChunk {
  return url === null
    ? { type: 'source-document', sourceId, mediaType: documentType, title }
    : { type: 'source-url', sourceId, url, title }
}

function toCitedSource({ url, title }: Source, id: string): CitedSource {
  return url === null
    ? { type: 'source', sourceType: 'document', id, mediaType: documentType, title }
    : { type: 'source', sourceType: 'url', id, url, title }
}
