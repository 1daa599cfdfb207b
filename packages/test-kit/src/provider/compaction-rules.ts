/**
 * What "Compaction on demand" says that the API refuses, in a request for a summary and in one that carries a summary. Their
 * signatures are a matter of signatures.ts.
 */
import { compactionOf } from './request.ts'
import type { Rule } from './request.ts'

const page = 'Compaction on demand, build-with-claude/compaction-on-demand'
const beta = 'compact-2026-09-04'
const maxInstructions = 16_384

/** The models that the page lists. */
const compacts = /claude-(?:fable-5|mythos|(?:sonnet|opus)-5|haiku-5-5|opus-4-[6-8]|sonnet-4-6)/

interface CompactionConfig {
  readonly type?: unknown
  readonly instructions?: unknown
}

export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null
}

export const compactionRules: readonly Rule[] = [
  {
    source: `${page}: request a summary`,
    complaint: ({ body, betas }) =>
      isPresent(body['compaction']) && !betas.includes(beta)
        ? `compaction: requires anthropic-beta: ${beta}`
        : undefined,
  },
  {
    source: `${page}: supported models`,
    complaint: ({ body }) =>
      isPresent(body['compaction']) && !compacts.test(body.model)
        ? 'compaction: not supported for this model'
        : undefined,
  },
  {
    source: `${page}: write your own summarization prompt; BetaCompactionConfig`,
    complaint: ({ body }) => {
      if (!isPresent(body['compaction'])) return undefined
      const { type, instructions, ...rest } = body['compaction'] as CompactionConfig
      const isLong = typeof instructions === 'string' && instructions.length > maxInstructions
      return type !== 'summarize' || isLong || Object.keys(rest).length > 0 ? 'compaction: Input is wrong' : undefined
    },
  },
  {
    source: `${page}: limits and interactions; request a summary`,
    complaint: ({ body }) => {
      if (!isPresent(body['compaction'])) return undefined
      const choice = (body['tool_choice'] as { type?: unknown } | undefined)?.type
      const format = (body['output_config'] as { format?: unknown } | undefined)?.format
      const isWrong = isPresent(body['stop_sequences']) || isPresent(format) || choice === 'any' || choice === 'tool'
      if (isPresent(body['context_management'])) return 'compaction: cannot be combined with context_management'
      return isWrong ? 'compaction: stop_sequences, output_config.format and tool_choice do nothing' : undefined
    },
  },
  {
    source: `${page}: errors, compaction_nothing_to_summarize`,
    complaint: ({ body }) =>
      isPresent(body['compaction']) && body.messages.every(({ content }) => content.length === 0)
        ? 'compaction: nothing to summarize'
        : undefined,
  },
  {
    source: `${page}: errors, a later request that carries the block`,
    complaint: ({ body, betas }) =>
      !betas.includes(beta) && body.messages.some(({ content }) => content.some(({ type }) => type === 'compaction'))
        ? "messages.0.content.0: Input tag 'compaction' found using 'type' does not match any of the expected tags"
        : undefined,
  },
  {
    source: `${page}: continue from the summary; compaction_block_misplaced, compaction_block_ambiguous`,
    complaint: ({ body }) => {
      const blocks = body.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'compaction')
      if (blocks.length > 1) return 'messages: more than one `compaction` block; send only the newest'
      return blocks.length === 1 && compactionOf(body) === undefined
        ? 'messages: the `compaction` block must come first'
        : undefined
    },
  },
]
