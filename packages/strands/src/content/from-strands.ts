/**
 * Blocks of Strands as blocks of the contract. What the contract has no shape for is kept as it is, in a block of the type `strands`,
 * so that the way back loses nothing.
 */
import { OtherBlock } from '@verbatim/core'
import type { ContentBlock, ToolResultContent, ToolResultPart } from '@verbatim/core'
import type {
  CitationsBlock,
  ContentBlock as StrandsBlock,
  ReasoningBlock,
  ToolResultBlock,
  ToolResultContent as StrandsResultPart,
  ToolUseBlock,
} from '@strands-agents/sdk'
import { imageOf, documentOf } from './media.ts'

/** The type of a block that only Strands has a shape for. */
export const strandsBlockType = 'strands'

/** A message's content. */
export function toContent(blocks: readonly StrandsBlock[]): ContentBlock[] {
  return blocks.flatMap(toBlocks)
}

function toBlocks(block: StrandsBlock): ContentBlock[] {
  switch (block.type) {
    case 'textBlock':
      return [{ type: 'text', text: block.text.toWellFormed() }]
    case 'toolUseBlock':
      return toToolUse(block)
    case 'toolResultBlock':
      return [toToolResult(block)]
    case 'reasoningBlock':
      return toThinking(block)
    case 'citationsBlock':
      return [toCitedText(block)]
    case 'imageBlock':
      return [imageOf(block) ?? toOther(block)]
    case 'documentBlock':
      return [documentOf(block) ?? toOther(block)]
    default:
      return [toOther(block)]
  }
}

function toToolUse(block: ToolUseBlock): ContentBlock[] {
  const { toolUseId: id, name, input, reasoningSignature } = block
  const call: ContentBlock = { type: 'tool_use', id, name, input: JSON.parse(JSON.stringify(input)) }
  if (reasoningSignature === undefined) return [call]
  // A model of this kind wants its signature back with the call.
  return [call, OtherBlock.parse({ type: strandsBlockType, signatureOf: id, reasoningSignature })]
}

/** A tool's result, as the answer's block. */
export function toToolResult(block: ToolResultBlock): Extract<ContentBlock, { type: 'tool_result' }> {
  return {
    type: 'tool_result',
    tool_use_id: block.toolUseId,
    content: toResultContent(block.content),
    is_error: block.status === 'error',
  }
}

function toResultContent(parts: readonly StrandsResultPart[]): ToolResultContent {
  const [only, ...more] = parts
  if (only?.type === 'textBlock' && more.length === 0) return only.text.toWellFormed()
  return parts.map(toResultPart)
}

function toResultPart(part: StrandsResultPart): ToolResultPart {
  switch (part.type) {
    case 'textBlock':
      return { type: 'text', text: part.text.toWellFormed() }
    case 'imageBlock':
      return imageOf(part) ?? toOther(part)
    case 'documentBlock':
      return documentOf(part) ?? toOther(part)
    default:
      return toOther(part)
  }
}

function toThinking({ text, signature, redactedContent }: ReasoningBlock): ContentBlock[] {
  return [
    ...(text === undefined && signature === undefined
      ? []
      : [{ type: 'thinking', thinking: (text ?? '').toWellFormed(), signature: signature ?? '' } as const]),
    ...(redactedContent === undefined
      ? []
      : [{ type: 'redacted_thinking', data: Buffer.from(redactedContent).toString('base64') } as const]),
  ]
}

function toCitedText({ content, citations }: CitationsBlock): ContentBlock {
  const text = content.map((part) => part.text).join('')
  return { type: 'text', text: text.toWellFormed(), citations: JSON.parse(JSON.stringify(citations)) }
}

function toOther(block: { toJSON(): object }): OtherBlock {
  return OtherBlock.parse({ type: strandsBlockType, block: JSON.parse(JSON.stringify(block)) })
}
