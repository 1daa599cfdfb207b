import { ToolResultPart } from '../../contract/content-block.ts'
import { VerbatimError } from '../../contract/errors.ts'

const brand = Symbol.for('verbatim.result-blocks')

/** What a tool answers in blocks. Made by {@link resultBlocks}. */
export interface ResultBlocks {
  readonly [brand]: true
  readonly blocks: readonly ToolResultPart[]
}

/**
 * An answer of a tool in blocks: text, images, documents, and kinds that the provider knows (`search_result`, from `OtherBlock.parse`).
 * A plain list would go to the model as its JSON.
 *
 * @example
 * run: async ({ city }) => resultBlocks({ type: 'text', text: 'The map' }, { type: 'image', source: { type: 'url', url } })
 * @throws VerbatimError `INVALID_INPUT` when a block is malformed
 */
export function resultBlocks(...blocks: readonly ToolResultPart[]): ResultBlocks {
  const wrong = blocks.findIndex((block) => !ToolResultPart.safeParse(block).success)
  if (wrong === -1) return Object.freeze({ [brand]: true as const, blocks })
  throw new VerbatimError('INVALID_INPUT', `resultBlocks: block ${wrong} is malformed`, {
    data: { field: String(wrong) },
  })
}

/** Whether a tool answered blocks, of this copy of the package or another. */
export function isResultBlocks(output: unknown): output is ResultBlocks {
  return typeof output === 'object' && output !== null && brand in output
}
