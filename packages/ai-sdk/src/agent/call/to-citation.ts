import type { TextStreamPart, ToolSet } from 'ai'
import type { JsonValue } from '@verbatim/core'

export type SourcePart = Extract<TextStreamPart<ToolSet>, { type: 'source' }>

/** A source in the form that `citationsOf` reads; what is empty is left out. */
export function toCitation(source: Omit<SourcePart, 'type'> | SourcePart, citedText?: string): JsonValue {
  const { sourceType, id, title } = source
  return {
    type: 'source',
    source_type: sourceType,
    id,
    ...('url' in source && { url: source.url }),
    ...(title !== undefined && title !== '' && { title }),
    ...('mediaType' in source && { media_type: source.mediaType }),
    ...('filename' in source && source.filename !== undefined && { filename: source.filename }),
    ...(citedText !== undefined && citedText !== '' && { cited_text: citedText }),
  }
}
