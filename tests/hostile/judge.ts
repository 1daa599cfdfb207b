/** What the users met beside each attack, next to what they meet without one, and whether that is within the limits. */
import { ascending, quantile, round, toMegabytes } from '../bench/statistics.ts'
import { kinds } from './honest-users.ts'
import type { Kind } from './honest-users.ts'
import type { Phase } from './run-phases.ts'

export interface Limits {
  /** How much later the 99th percentile of a kind of call may come than without an attack, in milliseconds. */
  readonly maxAddedMs: number
  readonly maxRssBytes: number
}

type Row = Readonly<Record<string, string | number>>

export interface Judgement {
  /** What became of each phase. */
  readonly outcomes: readonly Row[]
  /** The 50th and the 99th percentile of each kind, in milliseconds. */
  readonly times: readonly Row[]
  readonly violations: readonly string[]
}

export function judge(phases: readonly Phase[], limits: Limits): Judgement {
  const quiet = phases.filter(({ name }) => name === 'quiet')
  const usualMs = Object.fromEntries(
    kinds.map((kind) => [kind, p99(quiet.flatMap(({ tookMs }) => tookMs[kind]))]),
  ) as Record<Kind, number> // of each kind
  return {
    outcomes: phases.map((phase) => outcomeOf(phase, usualMs)),
    times: phases.map(({ name, tookMs }) => ({
      phase: name,
      ...Object.fromEntries(kinds.map((kind) => [kind, `${tenths(p50(tookMs[kind]))} / ${tenths(p99(tookMs[kind]))}`])),
    })),
    violations: phases.flatMap((phase) => violationsOf(phase, usualMs, limits).map((text) => `${phase.name}: ${text}`)),
  }
}

function outcomeOf(phase: Phase, usualMs: Record<Kind, number>): Row {
  const { name, tookMs, turns, failures, counts, heldMs, cpuShare, rssBytes, diskMs } = phase
  const addedMs = kinds.map((kind) => [kind, p99(tookMs[kind]) - usualMs[kind]] as const)
  const [worst, worstMs] = addedMs.reduce((most, one) => (one[1] > most[1] ? one : most))
  return {
    phase: name,
    'hostile calls': Object.values(counts).reduce((sum, count) => sum + count, 0),
    answers: answersOf(counts),
    turns,
    failed: failures.length,
    'p99 added ms': `${tenths(worstMs)} (${worst})`,
    'loop held ms': tenths(heldMs),
    'CPU %': Math.round(cpuShare * 100),
    'RSS MB': Math.round(toMegabytes(rssBytes)),
    ...(diskMs.length > 0 && { 'disk p99 ms': tenths(p99(diskMs)) }),
  }
}

/** The most frequent answers to the hostile caller. */
function answersOf(counts: Phase['counts']): string {
  const sorted = Object.entries(counts).toSorted(([, one], [, other]) => other - one)
  return sorted
    .slice(0, 3)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ')
}

function violationsOf(phase: Phase, usualMs: Record<Kind, number>, { maxAddedMs, maxRssBytes }: Limits): string[] {
  const late = kinds.flatMap((kind) => {
    const ms = p99(phase.tookMs[kind])
    return ms - usualMs[kind] <= maxAddedMs
      ? []
      : [`the p99 of ${kind} is ${round(ms)} ms, and ${round(usualMs[kind])} ms without an attack`]
  })
  const { rssBytes } = phase
  const isLarge = rssBytes > maxRssBytes
  const memory = `the server had ${toMegabytes(rssBytes)} MB, over the bound of ${toMegabytes(maxRssBytes)} MB`
  return [...brokenIn(phase), ...late, ...(isLarge ? [memory] : [])]
}

/** What may not happen on any machine, however slow: a call of an honest user that failed, a refusal that is no typed error. */
export function brokenIn({ failures, untyped, turns }: Pick<Phase, 'failures' | 'untyped' | 'turns'>): string[] {
  return [
    ...(failures.length === 0 ? [] : [`${failures.length} of ${turns} turns failed, first: ${failures[0]}`]),
    ...untyped.map((what) => `a refusal is no typed error: ${what}`),
  ]
}

function p50(values: readonly number[]): number {
  return quantile(ascending(values), 0.5)
}

function p99(values: readonly number[]): number {
  return quantile(ascending(values), 0.99)
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10
}
