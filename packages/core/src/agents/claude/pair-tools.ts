/**
 * Calls of tools and their results, paired as the API wants them: each call answered once, in the next message, under an id
 * that is its own and of the API's letters. The ids that a provider gave may be empty, odd or used twice: they stay in the
 * store, and only what goes to the API has others.
 */
import type { DraftBlock, DraftMessage } from './claude-message.ts'

/**
 * Keeps a tool_use only with its result in the next message, and a result only with its tool_use in the one before. What comes
 * before the first word of a user is left out.
 */
export function pairTools(messages: readonly DraftMessage[]): DraftMessage[] {
  const newId = createIds()
  const paired: DraftMessage[] = []
  let open: readonly OpenCall[] = []
  for (const [at, message] of messages.entries()) {
    if (message.role === 'user') {
      paired.push({ role: 'user', blocks: [...resultsOf(message, open), ...othersOf(message)] })
      open = []
    } else if (paired.some(({ blocks }) => blocks.length > 0)) {
      const { blocks, calls } = withAnsweredCalls(message, messages[at + 1], newId)
      paired.push({ role: 'assistant', blocks })
      open = calls
    }
  }
  return paired
}

interface OpenCall {
  /** The provider's id. */
  readonly id: string
  /** The id that the API gets. */
  readonly newId: string
}

/** The results of the open calls, one each and in the order of the results; the API wants them before any text. */
function resultsOf({ blocks }: DraftMessage, open: readonly OpenCall[]): DraftBlock[] {
  const left = [...open]
  return blocks.flatMap((block) => {
    if (block.param.type !== 'tool_result') return []
    const { tool_use_id } = block.param
    const at = left.findIndex(({ id }) => id === tool_use_id)
    const [call] = at === -1 ? [] : left.splice(at, 1)
    return call === undefined ? [] : [{ ...block, param: { ...block.param, tool_use_id: call.newId } }]
  })
}

function othersOf({ blocks }: DraftMessage): DraftBlock[] {
  return blocks.filter(({ param }) => param.type !== 'tool_result')
}

function withAnsweredCalls({ blocks }: DraftMessage, next: DraftMessage | undefined, newId: (id: string) => string) {
  const answers = (next?.blocks ?? []).flatMap(({ param }) => (param.type === 'tool_result' ? [param.tool_use_id] : []))
  const calls: OpenCall[] = []
  let isExact = true
  const kept = blocks.flatMap((block): DraftBlock[] => {
    if (block.param.type !== 'tool_use') return [{ ...block, isExact: block.isExact && isExact }]
    const { id, name } = block.param
    const at = answers.indexOf(id)
    if (at === -1) {
      isExact = false
      return []
    }
    answers.splice(at, 1)
    const call = { id, newId: newId(id) }
    calls.push(call)
    const param = { ...block.param, id: call.newId, name: toName(name) }
    isExact &&= param.id === id && param.name === name
    return [{ ...block, param, isExact: block.isExact && isExact }]
  })
  return { blocks: kept, calls }
}

/** Ids for one request. The same conversation gets the same ones again, so that what is bound to it holds. */
function createIds(): (id: string) => string {
  const used = new Set<string>()
  return (id) => {
    const stem = toLetters(id) || 'call'
    let unused = stem
    for (let count = 2; used.has(unused); count++) unused = `${stem}_${count}`
    used.add(unused)
    return unused
  }
}

/** A model may call a tool that no API would let an agent have: it has to hear so. */
function toName(name: string): string {
  return toLetters(name).slice(0, 128) || 'unknown'
}

function toLetters(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]/g, '_')
}
