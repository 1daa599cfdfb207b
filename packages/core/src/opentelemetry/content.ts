/** What was said, in the conventions' form. Only where the option `recordContent` asks for it. Bytes of files are left out. */
import type { Attributes } from '@opentelemetry/api'
import type { ContentBlock } from '../contract/content-block.ts'
import type { ModelCallFacts, ModelMessage } from '../ports/telemetry.ts'

export function askedContent(facts: ModelCallFacts): Attributes {
  const { system, messages } = facts.content()
  return {
    ...(system === undefined
      ? {}
      : { 'gen_ai.system_instructions': JSON.stringify([{ type: 'text', content: system }]) }),
    'gen_ai.input.messages': JSON.stringify(messages.map(toMessage)),
  }
}

export function answeredContent(content: readonly ContentBlock[], stopReason: string | null): Attributes {
  const message = { role: 'assistant', parts: content.map(toPart), finish_reason: stopReason ?? 'error' }
  return { 'gen_ai.output.messages': JSON.stringify([message]) }
}

export function toolContent(name: 'arguments' | 'result', value: unknown): Attributes {
  return { [`gen_ai.tool.call.${name}`]: typeof value === 'string' ? value : (JSON.stringify(value) ?? '') }
}

function toMessage({ role, content }: ModelMessage): object {
  const blocks = typeof content === 'string' ? [{ type: 'text', text: content }] : content
  return { role, parts: blocks.map(toPart) }
}

function toPart(block: { readonly type: string }): object {
  const of = new Map<string, unknown>(Object.entries(block))
  switch (block.type) {
    case 'text':
      return { type: 'text', content: of.get('text') }
    case 'thinking':
      return { type: 'reasoning', content: of.get('thinking') }
    case 'tool_use':
      return { type: 'tool_call', id: of.get('id'), name: of.get('name'), arguments: of.get('input') }
    case 'tool_result':
      return { type: 'tool_call_response', id: of.get('tool_use_id'), response: toResponse(of.get('content')) }
    default:
      return { type: block.type }
  }
}

function toResponse(content: unknown): unknown {
  return Array.isArray(content) ? content.map(toPart) : content
}
