/**
 * Stored messages as a conversation of Strands. In: our messages, oldest first. Out: user and assistant in turn, each call of a tool
 * with its result in the next message, as every provider wants it.
 */
import {
  CitationsBlock,
  contentBlockFromData,
  JsonBlock,
  Message,
  ReasoningBlock,
  TextBlock,
  ToolResultBlock,
  toolResultContentFromData,
  ToolUseBlock,
} from '@strands-agents/sdk'
import type {
  ContentBlock as StrandsBlock,
  ContentBlockData,
  ToolResultContent as StrandsResultPart,
} from '@strands-agents/sdk'
import type { ContentBlock, Message as StoredMessage, ToolResultContent } from '@verbatim/core'
import { strandsBlockType } from './from-strands.ts'
import { toStrandsDocument, toStrandsImage } from './media.ts'
import type { ReadAttachment } from './media.ts'

interface Draft {
  readonly role: 'user' | 'assistant'
  content: StrandsBlock[]
}

/** Which blocks a conversation is made of. */
export interface ToStrandsOptions {
  readonly read: ReadAttachment
  /** @default false: the thinking of an earlier turn is of no use to a model, and another model refuses it */
  readonly keepsThinking?: boolean
}

/** The conversation for a model: paired, in turn, beginning with a user. */
export async function toConversation(
  messages: readonly StoredMessage[],
  options: ToStrandsOptions,
): Promise<Message[]> {
  const drafts: Draft[] = []
  for (const message of messages)
    drafts.push(...splitByResults(message.role, await toStrandsBlocks(message.content, options)))
  const merged = mergeRoles(pairCalls(mergeRoles(drafts)))
  return merged.map(({ role, content }) => new Message({ role, content }))
}

/** One stored answer may hold several calls of the model: what a tool has answered is the user's in Strands. */
function splitByResults(role: Draft['role'], blocks: readonly StrandsBlock[]): Draft[] {
  if (role === 'user') return [{ role, content: [...blocks] }]
  return blocks.map((block) => ({ role: block.type === 'toolResultBlock' ? 'user' : 'assistant', content: [block] }))
}

function mergeRoles(drafts: readonly Draft[]): Draft[] {
  const merged: Draft[] = []
  for (const { role, content } of drafts) {
    const last = merged.at(-1)
    if (content.length === 0 || (last === undefined && role === 'assistant')) continue
    if (last?.role === role) last.content = [...last.content, ...content]
    else merged.push({ role, content: [...content] })
  }
  return merged
}

/** Keeps a call only with its result in the next message, and a result only with its call in the one before. */
function pairCalls(drafts: readonly Draft[]): Draft[] {
  return drafts.map(({ role, content }, at) => {
    const other = drafts[role === 'assistant' ? at + 1 : at - 1]?.content ?? []
    const ids = new Set(other.flatMap((block) => (isCallPart(block) ? [block.toolUseId] : [])))
    return { role, content: content.filter((block) => !isCallPart(block) || ids.has(block.toolUseId)) }
  })
}

function isCallPart(block: StrandsBlock): block is ToolUseBlock | ToolResultBlock {
  return block.type === 'toolUseBlock' || block.type === 'toolResultBlock'
}

/** The blocks of one message, in their order. */
export async function toStrandsBlocks(
  content: readonly ContentBlock[],
  options: ToStrandsOptions,
): Promise<StrandsBlock[]> {
  const signatures = signaturesOf(content)
  const blocks = await Promise.all(
    content.map(async (block) => await toStrandsBlock(block, { ...options, signatures })),
  )
  return blocks.filter((block) => block !== undefined)
}

type Signatures = ReadonlyMap<string, string>

function signaturesOf(content: readonly ContentBlock[]): Signatures {
  const signatures = new Map<string, string>()
  for (const block of content) {
    const { signatureOf, reasoningSignature } = fieldsOf(block)
    if (typeof signatureOf === 'string' && typeof reasoningSignature === 'string') {
      signatures.set(signatureOf, reasoningSignature)
    }
  }
  return signatures
}

async function toStrandsBlock(
  block: ContentBlock,
  { read, keepsThinking = false, signatures }: ToStrandsOptions & { signatures: Signatures },
): Promise<StrandsBlock | undefined> {
  switch (block.type) {
    case 'text':
      if (block.text === '') return undefined
      return block.citations === undefined || !keepsThinking ? new TextBlock(block.text) : toCitations(block)
    case 'tool_use': {
      const { id: toolUseId, name, input } = block
      const reasoningSignature = signatures.get(toolUseId)
      return new ToolUseBlock({
        toolUseId,
        name,
        input,
        ...(reasoningSignature === undefined ? {} : { reasoningSignature }),
      })
    }
    case 'tool_result':
      return new ToolResultBlock({
        toolUseId: block.tool_use_id,
        status: block.is_error ? 'error' : 'success',
        content: await toResultParts(block.content, read),
      })
    case 'thinking': {
      const { thinking: text, signature } = block
      return keepsThinking ? new ReasoningBlock({ text, ...(signature === '' ? {} : { signature }) }) : undefined
    }
    case 'redacted_thinking':
      return keepsThinking
        ? new ReasoningBlock({ redactedContent: new Uint8Array(Buffer.from(block.data, 'base64')) })
        : undefined
    case 'image':
      return await toStrandsImage(block, read)
    case 'document':
      return await toStrandsDocument(block, read)
    default: {
      const data = ownData(block)
      return data === undefined ? undefined : contentBlockFromData(data as ContentBlockData) // as `toOther` has kept it
    }
  }
}

function toCitations({ text, citations = [] }: Extract<ContentBlock, { type: 'text' }>): StrandsBlock {
  return CitationsBlock.fromJSON({ citations: { citations, content: [{ text }] } } as unknown as Parameters<
    typeof CitationsBlock.fromJSON
  >[0]) // as `toCitedText` has kept them
}

async function toResultParts(content: ToolResultContent, read: ReadAttachment): Promise<StrandsResultPart[]> {
  if (typeof content === 'string') return [new TextBlock(content)]
  const parts = await Promise.all(
    content.map(async (part): Promise<StrandsResultPart | undefined> => {
      if (part.type === 'text') return new TextBlock(part.text)
      if (part.type === 'image') return await toStrandsImage(part, read)
      if (part.type === 'document') return await toStrandsDocument(part, read)
      const data = ownData(part)
      return data === undefined ? new JsonBlock({ json: { ...part } }) : toolResultContentFromData(data as never) // as `toOther` has kept it
    }),
  )
  return parts.filter((part) => part !== undefined)
}

/** What `toOther` has kept of a block of Strands. */
function ownData(block: { readonly type: string }): object | undefined {
  const { block: data } = fieldsOf(block)
  return typeof data === 'object' && data !== null ? data : undefined
}

function fieldsOf(block: { readonly type: string }): Readonly<Record<string, unknown>> {
  return block.type === strandsBlockType ? { ...block } : {}
}
