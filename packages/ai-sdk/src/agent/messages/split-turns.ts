/**
 * A conversation in the steps that a model knows: what a user says, what one call of the model says, what the tools of that call answer.
 * In: turns as we keep them, where one answer may hold several calls. Out: the steps in order, with ids of calls that are all different.
 */
import type { ContentBlock, ModelMetadataBlock, ToolResultBlock, ToolUseBlock } from '@verbatim/core'
import type { Turn } from '@verbatim/core/agent-kit'

interface UserStep {
  readonly type: 'user'
  readonly blocks: readonly ContentBlock[]
}

export interface CallStep {
  readonly type: 'call'
  readonly blocks: readonly ContentBlock[]
  readonly metadata: ModelMetadataBlock | undefined
  /** The calls of tools that are answered in the next step, and the ids that the model gets. */
  readonly ids: ReadonlyMap<ContentBlock, string>
}

export interface ResultStep {
  readonly type: 'results'
  readonly results: readonly { readonly block: ToolResultBlock; readonly id: string; readonly name: string }[]
}

export type Step = UserStep | CallStep | ResultStep

interface Draft {
  readonly type: Step['type']
  readonly blocks: ContentBlock[]
  metadata?: ModelMetadataBlock
}

/** The steps from the first word of a user on. A call of a tool stays only with its answer, and an answer only with its call. */
export function splitTurns(turns: readonly Turn[]): Step[] {
  const drafts = turns.reduce<Draft[]>((all, turn) => addTurn(all, turn), [])
  const newId = createIds()
  const first = drafts.findIndex(({ type }) => type === 'user')
  const kept = first === -1 ? [] : drafts.slice(first)
  let open: OpenCall[] = []
  return kept.map((draft, at): Step => {
    const { type, blocks, metadata } = draft
    if (type === 'user') return { type, blocks }
    if (type === 'results') return { type, results: resultsOf(blocks, open) }
    const next = kept[at + 1]
    open = answeredCalls(blocks, next?.type === 'results' ? next.blocks : [], newId)
    return { type, blocks, metadata, ids: new Map(open.map(({ block, newId: id }) => [block, id])) }
  })
}

function addTurn(drafts: Draft[], { role, content }: Turn): Draft[] {
  for (const block of content) {
    const type = typeOf(block, role)
    const last = drafts.at(-1)
    // What stands after the metadata of a call is of the next one.
    const goesOn = last?.type === type && last.metadata === undefined
    if (block.type === 'model_metadata') {
      if (goesOn) last.metadata = block
    } else if (goesOn) last.blocks.push(block)
    else drafts.push({ type, blocks: [block] })
  }
  return drafts
}

function typeOf({ type }: ContentBlock, role: Turn['role']): Step['type'] {
  if (type === 'tool_result') return 'results'
  return role === 'user' ? 'user' : 'call'
}

interface OpenCall {
  readonly block: ToolUseBlock
  readonly newId: string
}

function answeredCalls(blocks: readonly ContentBlock[], next: readonly ContentBlock[], newId: (id: string) => string) {
  const answers = next.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : []))
  return blocks.flatMap((block): OpenCall[] => {
    const at = block.type === 'tool_use' ? answers.indexOf(block.id) : -1
    if (block.type !== 'tool_use' || at === -1) return []
    answers.splice(at, 1)
    return [{ block, newId: newId(block.id) }]
  })
}

/** Each is the answer of the oldest call of its id without one. */
function resultsOf(blocks: readonly ContentBlock[], open: readonly OpenCall[]): ResultStep['results'] {
  const left = [...open]
  return blocks.flatMap((block) => {
    if (block.type !== 'tool_result') return []
    const at = left.findIndex((call) => call.block.id === block.tool_use_id)
    const [call] = at === -1 ? [] : left.splice(at, 1)
    return call === undefined ? [] : [{ block, id: call.newId, name: call.block.name }]
  })
}

/** Ids for one request, of letters that every provider takes. The same conversation gets the same ones again. */
function createIds(): (id: string) => string {
  const used = new Set<string>()
  return (id) => {
    const stem = id.replace(/[^A-Za-z0-9_-]/g, '_') || 'call'
    let unused = stem
    for (let count = 2; used.has(unused); count++) unused = `${stem}_${count}`
    used.add(unused)
    return unused
  }
}
