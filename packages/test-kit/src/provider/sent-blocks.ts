/** The blocks that the provider itself has made: the API takes such blocks back as it made them, and no others. */
import type { ProviderEvent } from './events.ts'
import { withoutCacheMarks } from './request.ts'
import type { RequestBlock } from './request.ts'

export interface SentBlocks {
  /** Takes down what one answer says. */
  record(): (event: ProviderEvent) => void
  hasBlock(block: RequestBlock): boolean
  hasCitation(citation: unknown): boolean
}

export function createSentBlocks(): SentBlocks {
  const blocks = new Set<string>()
  const citations = new Set<string>()
  return {
    record() {
      const open = new Map<unknown, OpenBlock>()
      return (event) => {
        const index = event['index']
        const start = event['content_block'] as RequestBlock | undefined
        if (start !== undefined) open.set(index, { block: start, json: '' })
        const told = open.get(index)
        if (event.type === 'content_block_delta' && told !== undefined) extend(told, event['delta'] as RequestBlock)
        // What a test does not stop is whole at the end.
        for (const { block, json } of told === undefined ? open.values() : [told]) {
          blocks.add(JSON.stringify(withInput({ block, json })))
          for (const citation of listOf(block['citations'])) citations.add(JSON.stringify(citation))
        }
      }
    },
    hasBlock: (block) => blocks.has(JSON.stringify(withoutCacheMarks(block))),
    hasCitation: (citation) => citations.has(JSON.stringify(citation)),
  }
}

interface OpenBlock {
  block: RequestBlock
  json: string
}

/** As each delta of the protocol adds to the field that it is named after. */
function extend(told: OpenBlock, { type, ...fields }: RequestBlock): void {
  if (type === 'input_json_delta') told.json += String(fields['partial_json'])
  else if (type === 'citations_delta') {
    told.block = { ...told.block, citations: [...listOf(told.block['citations']), fields['citation']] }
  } else
    for (const [name, value] of Object.entries(fields))
      told.block = { ...told.block, [name]: added(told.block[name], value) }
}

function added(before: unknown, value: unknown): unknown {
  if (typeof before === 'string' && typeof value === 'string') return before + value
  return Array.isArray(before) && Array.isArray(value) ? [...(before as unknown[]), ...(value as unknown[])] : value
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function withInput({ block, json }: OpenBlock): RequestBlock {
  try {
    return json === '' ? block : { ...block, input: JSON.parse(json) as unknown }
  } catch {
    return block // what a test cut or broke is not sent back as it was
  }
}
