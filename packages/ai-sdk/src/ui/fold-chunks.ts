import type { DynamicToolUIPart, ReasoningUIPart, TextUIPart, ToolUIPart, UIMessage, UIMessageChunk } from 'ai'

type Part = UIMessage['parts'][number]
type Open = { readonly texts: Map<string, TextUIPart>; readonly reasonings: Map<string, ReasoningUIPart> }

/** The parts that the AI SDK's client makes of the chunks of a whole answer. */
export function foldChunks(chunks: readonly UIMessageChunk[]): Part[] {
  const parts: Part[] = []
  const open: Open = { texts: new Map(), reasonings: new Map() }
  for (const chunk of chunks) addChunk(parts, open, chunk)
  return parts
}

function addChunk(parts: Part[], open: Open, chunk: UIMessageChunk): void {
  switch (chunk.type) {
    case 'start-step':
      parts.push({ type: 'step-start' })
      return
    case 'text-start':
    case 'text-delta':
    case 'text-end':
      return addText(parts, open, chunk)
    case 'reasoning-start':
    case 'reasoning-delta':
    case 'reasoning-end':
      return addReasoning(parts, open, chunk)
    case 'tool-input-available':
    case 'tool-output-available':
    case 'tool-output-error':
      return addTool(parts, chunk)
    case 'file':
    case 'custom':
    case 'source-url':
    case 'source-document':
      parts.push(chunk)
      return
    default: // steps have no end of their own, and whole calls no beginning
  }
}

type ChunkOf<TType extends UIMessageChunk['type']> = Extract<UIMessageChunk, { type: TType }>

function addText(
  parts: Part[],
  { texts }: Open,
  chunk: ChunkOf<'text-start'> | ChunkOf<'text-delta'> | ChunkOf<'text-end'>,
): void {
  if (chunk.type === 'text-start') {
    const part: TextUIPart = { type: 'text', text: '', state: 'done' }
    texts.set(chunk.id, part)
    parts.push(part)
    return
  }
  const part = texts.get(chunk.id)
  if (part === undefined) return
  if (chunk.type === 'text-delta') part.text += chunk.delta
  else if (chunk.citations !== undefined) part.citations = chunk.citations
}

function addReasoning(
  parts: Part[],
  { reasonings }: Open,
  chunk: ChunkOf<'reasoning-start'> | ChunkOf<'reasoning-delta'> | ChunkOf<'reasoning-end'>,
): void {
  if (chunk.type === 'reasoning-start') {
    const part: ReasoningUIPart = { type: 'reasoning', id: chunk.id, text: '', state: 'done', ...proofOf(chunk) }
    reasonings.set(chunk.id, part)
    parts.push(part)
    return
  }
  const part = reasonings.get(chunk.id)
  if (part === undefined) return
  if (chunk.type === 'reasoning-delta') part.text += chunk.delta
  else Object.assign(part, proofOf(chunk))
}

function proofOf({ providerMetadata }: Pick<ReasoningUIPart, 'providerMetadata'>) {
  return providerMetadata === undefined ? {} : { providerMetadata }
}

function addTool(
  parts: Part[],
  chunk: ChunkOf<'tool-input-available'> | ChunkOf<'tool-output-available'> | ChunkOf<'tool-output-error'>,
): void {
  const at = parts.findLastIndex((part) => 'toolCallId' in part && part.toolCallId === chunk.toolCallId)
  if (chunk.type === 'tool-input-available') {
    const { toolName, dynamic, type: _type, ...call } = chunk
    const part = { ...toolType(toolName, dynamic), ...call, state: 'input-available' } as ToolUIPart | DynamicToolUIPart // its type tells which
    if (at === -1) parts.push(part)
    else parts[at] = part
    return
  }
  const call = parts[at]
  if (call === undefined) return
  const end =
    chunk.type === 'tool-output-error'
      ? { state: 'output-error', errorText: chunk.errorText }
      : { state: 'output-available', output: chunk.output }
  parts[at] = { ...call, ...end } as ToolUIPart | DynamicToolUIPart // the call, in its next state
}

function toolType(toolName: string, dynamic: boolean | undefined) {
  return dynamic === true ? { type: 'dynamic-tool', toolName } : { type: `tool-${toolName}` }
}
