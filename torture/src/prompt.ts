/**
 * The script of an answer is a pure function of its prompt. The agent in the server, the provider in its process and the checker
 * all derive it, so the checker knows every answer beforehand.
 */
import type { PromptInput } from '@verbatim/core'
import { createRandom } from './random.ts'

/** What a provider does in the middle of an answer. After `cut` and `error` the run fails and keeps the tokens so far. */
export type ProviderFault = 'none' | 'cut' | 'error' | 'overloaded' | ToolFault

/** What the tool does that the provider calls in the middle of an answer. */
export type ToolFault = 'tool-throws' | 'tool-late' | 'tool-huge' | 'tool-lost'

export interface PromptSpec {
  readonly seed: number
  readonly runId: string
  readonly tokens: number
  /** The longest pause before a token, in milliseconds. */
  readonly paceMs: number
  readonly fault: ProviderFault
  /** The attachment that the prompt names, which decides its bytes (`image.ts`); null for none. */
  readonly imageId: string | null
}

export interface Script {
  readonly thinking: readonly string[]
  readonly tokens: readonly string[]
  /** Before each token, in milliseconds. */
  readonly pausesMs: readonly number[]
  readonly inputTokens: number
}

const words = 'the |run |goes on, |λ → μ |言葉|\n|a "quoted" |naïve |\u2028|0|</p> |e\u0301 '.split('|')
const pairs = ['😀', '👩‍💻', '𝔘'].map((text) => [text.slice(0, 1), text.slice(1)])

export function promptText({ seed, runId, tokens, paceMs, fault, imageId }: PromptSpec): string {
  const image = imageId === null ? '' : ` image=${imageId}`
  return `torture seed=${seed} run=${runId} tokens=${tokens} pace=${paceMs} fault=${fault}${image}`
}

/** What a client sends. */
export function promptInput(spec: PromptSpec): PromptInput {
  const { imageId } = spec
  const text = promptText(spec)
  if (imageId === null) return text
  return [
    { type: 'text', text },
    { type: 'image', source: { type: 'attachment', attachment_id: imageId } },
  ]
}

export function isTorturePrompt(text: string): boolean {
  return text.startsWith('torture ')
}

export function parsePrompt(text: string): PromptSpec {
  const match = /torture seed=(\d+) run=(\S+) tokens=(\d+) pace=(\d+) fault=([\w-]+)(?: image=([\w-]+))?/.exec(text)
  if (match === null) throw new Error('Not a prompt of the torture')
  const [, seed, runId = '', tokens, paceMs, fault, imageId = null] = match
  const numbers = { seed: Number(seed), tokens: Number(tokens), paceMs: Number(paceMs) }
  return { ...numbers, runId, fault: fault as ProviderFault, imageId }
}

export function scriptOf({ seed, runId, tokens, paceMs }: PromptSpec): Script {
  const random = createRandom(`${seed}/${runId}`)
  const said: string[] = []
  while (said.length < tokens) {
    // A character in two halves, as the tokens of a model may split it.
    if (random.chance(0.08)) said.push(...random.pick(pairs))
    else said.push(`${random.pick(words)}${said.length} `)
  }
  const thinking = random.chance(0.3) ? ['Let me ', 'see.'] : []
  // Mostly bursts, and now and then a real pause.
  const pausesMs = said.map(() => (random.chance(0.25) ? random.int(0, paceMs * 3) : random.int(0, paceMs)))
  return { thinking, tokens: said, pausesMs, inputTokens: random.int(1, 500) }
}

/** What callers give beside a prompt to an agent of scripts: the agent and the checker know it from the prompt. */
export interface ScriptInput {
  readonly echo: string
}

const agentsWithInput: ReadonlySet<string> = new Set(['seeded', 'continuing', 'inline'])

/** Undefined for agents that take no input. */
export function inputFor(agentId: string, message: string): ScriptInput | undefined {
  return agentsWithInput.has(agentId) ? { echo: message } : undefined
}

/** What such an agent emits after every so many tokens: how often it has, and how much it has said in this run. */
export interface ScriptProgress {
  readonly count: number
  readonly said: number
}

/** Tokens between two of them. */
export const tokensPerProgress = 5

/** The script after `said`: what a continuation says. */
export function scriptLeft(spec: PromptSpec, said: string): Script {
  const script = scriptOf(spec)
  if (said === '') return script
  let length = 0
  const at = script.tokens.findIndex((token) => (length += token.length) > said.length)
  if (at === -1) return { ...script, thinking: [], tokens: [], pausesMs: [] }
  const [first = '', ...rest] = script.tokens.slice(at)
  const tokens = [first.slice(said.length - length), ...rest]
  return { ...script, thinking: [], tokens, pausesMs: script.pausesMs.slice(at) }
}

export function expectedText(spec: PromptSpec): string {
  return scriptOf(spec).tokens.join('')
}

export function isToolFault(fault: ProviderFault): fault is ToolFault {
  return fault.startsWith('tool-')
}

/** Model calls of a run: a tool result needs one more. */
export function modelCallsOf({ fault }: PromptSpec): number {
  return isToolFault(fault) ? 2 : 1
}

/** The number of tokens before a provider's fault; never half a character. */
export function tokensBeforeFault(spec: PromptSpec): number {
  const { tokens } = scriptOf(spec)
  if (spec.fault === 'none' || spec.fault === 'overloaded') return tokens.length
  const half = Math.floor(tokens.length / 2)
  return /[\ud800-\udbff]$/.test(tokens[half - 1] ?? '') ? half - 1 : half
}
