/**
 * What a guardrail found, as words without a word of what was said. In: the trace of Amazon Bedrock, whose assessments are maps by the
 * guardrail's id. Out: reasons such as `input content HATE HIGH BLOCKED`. The matched words of the trace stay behind.
 */

/** What a guardrail did. */
export interface Intervention {
  /** `blocked` when the text was taken away, `anonymized` when parts of it were masked, `none` when the guardrail only looked. */
  readonly action: 'blocked' | 'anonymized' | 'none'
  readonly reasons: readonly string[]
}

const maxReasons = 32
const maxReasonLength = 200

/** Reads the `trace` of a model's metadata. Anything that is no trace of a guardrail has no reasons. */
export function readGuardrailTrace(trace: unknown): Intervention {
  const guardrail = fieldOf(trace, 'guardrail')
  const found = [
    ...entriesOf(fieldOf(guardrail, 'inputAssessment')).flatMap(([id, one]) => findingsOf('input', id, one)),
    ...entriesOf(fieldOf(guardrail, 'outputAssessments')).flatMap(([id, all]) =>
      listOf(all).flatMap((one) => findingsOf('output', id, one)),
    ),
  ]
  const reasons = [...new Set(found.map(({ reason }) => reason.slice(0, maxReasonLength)))].slice(0, maxReasons)
  return { action: strongest(found.map(({ action }) => action)), reasons }
}

interface Finding {
  readonly reason: string
  readonly action: string
}

/** Where an assessment keeps its findings, and which of their fields say what was found: never `match`, which holds the user's words. */
const policies = {
  topicPolicy: { lists: ['topics'], label: 'topic', fields: ['name'] },
  contentPolicy: { lists: ['filters'], label: 'content', fields: ['type', 'confidence'] },
  wordPolicy: { lists: ['customWords', 'managedWordLists'], label: 'word', fields: ['type'] },
  sensitiveInformationPolicy: { lists: ['piiEntities', 'regexes'], label: 'sensitive', fields: ['type', 'name'] },
  contextualGroundingPolicy: { lists: ['filters'], label: 'grounding', fields: ['type'] },
} as const

function findingsOf(side: 'input' | 'output', guardrailId: string, assessment: unknown): Finding[] {
  return Object.entries(policies).flatMap(([policy, { lists, label, fields }]) =>
    lists
      .flatMap((list) => listOf(fieldOf(fieldOf(assessment, policy), list)))
      .flatMap((entry): Finding[] => {
        const action = textOfField(entry, 'action')
        if (action === '' || fieldOf(entry, 'detected') === false) return []
        const said = fields.map((field) => textOfField(entry, field))
        return [{ action, reason: [side, label, ...said, action, `by ${guardrailId}`].filter(Boolean).join(' ') }]
      }),
  )
}

function strongest(actions: readonly string[]): Intervention['action'] {
  if (actions.includes('BLOCKED')) return 'blocked'
  return actions.includes('ANONYMIZED') ? 'anonymized' : 'none'
}

function fieldOf(value: unknown, field: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) return undefined
  return Reflect.get(value, field)
}

function textOfField(value: unknown, field: string): string {
  const found = fieldOf(value, field)
  return typeof found === 'string' ? found : ''
}

function entriesOf(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : []
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
