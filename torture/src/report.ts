/** The output: a line for each plan, the evidence of a failure, and the totals. */
import { merge } from './faults/scenario.ts'
import type { Outcome } from './faults/scenario.ts'
import type { Options } from './options.ts'
import type { PlanOutcome } from './stage.ts'

export interface PlanReport extends PlanOutcome {
  readonly name: string
  readonly seed: number
  readonly profile: string
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function sayPlan({ name, seed, profile, seconds, injected, verdict }: PlanReport): void {
  const { violations, runs, ends, events } = verdict
  say(
    `${violations.length === 0 ? 'ok  ' : 'FAIL'} ${name} seed ${seed} ${profile} ${seconds.toFixed(1)} s: ` +
      `${runs} runs (${listOf(ends)}), ${events} events; ${listOf(Object.fromEntries(injected)) || 'no fault'}`,
  )
}

const maxViolations = 12

export function sayFailure(
  { name, seed, seconds, verdict, logged }: PlanReport,
  { nodes, withoutChangeStreams, peerHints }: Pick<Options, 'nodes' | 'withoutChangeStreams' | 'peerHints'>,
): void {
  const { violations, slowMs = 0, wasSlow } = verdict
  say(`\n${name}, seed ${seed}: ${violations.length} violations`)
  for (const text of violations.slice(0, maxViolations)) say(`  - ${text}`)
  const lateS = (slowMs / 1_000).toFixed(1)
  say(
    `  MongoDB or the machine was late by ${lateS} of ${seconds.toFixed(1)} s${wasSlow ? ', too much for leases' : ''}`,
  )
  if (logged.length > 0) say('  the last log lines of the servers:')
  for (const line of logged.slice(-12)) say(`    ${line}`)
  const which = name === 'random' ? '--seeds 1' : `--fault ${name}`
  const mode = `${withoutChangeStreams ? ' --without-change-streams' : ''}${peerHints ? ' --peer-hints' : ''}`
  say(`  again: npm run torture -- ${which} --seed ${seed} --nodes ${nodes}${mode}\n`)
}

export class Totals {
  readonly #outcomes: Outcome[] = []
  readonly #seconds: number[] = []
  readonly #failed: string[] = []
  #unplayed = 0

  add({ name, seed, seconds, injected, verdict }: PlanReport): void {
    this.#outcomes.push({ injected, verdict })
    this.#seconds.push(seconds)
    if (verdict.violations.length > 0) this.#failed.push(`${name} ${seed}`)
  }

  /** Scenarios for which there was no time. */
  addUnplayed(count: number): void {
    this.#unplayed += count
  }

  get failures(): number {
    return this.#failed.length
  }

  sayBriefly(): void {
    const { injected, verdict } = merge(this.#outcomes)
    const faults = [...injected.values()].reduce((sum, one) => sum + one, 0)
    say(
      `Torture: ${this.#seconds.length} plans in ${this.#minutes} min, ${verdict.runs} runs, ${verdict.events} events, ` +
        `${faults} faults of ${injected.size} kinds${this.#left}; ${this.#result}`,
    )
  }

  say(): void {
    const { injected, verdict } = merge(this.#outcomes)
    const sorted = this.#seconds.toSorted((a, b) => a - b)
    const p = (q: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0).toFixed(1)
    say(`\n${sorted.length} plans in ${this.#minutes} min (p50 ${p(0.5)} s, p95 ${p(0.95)} s, max ${p(1)} s)`)
    say(`${verdict.runs} runs (${listOf(verdict.ends)}), ${verdict.events} events${this.#left}`)
    say('Injected faults:')
    for (const [kind, count] of [...injected].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      say(`  ${kind.padEnd(36)} ${String(count).padStart(6)}`)
    say(this.#result)
  }

  get #minutes(): string {
    return (this.#seconds.reduce((sum, one) => sum + one, 0) / 60).toFixed(1)
  }

  /** What the series did not prove because of the time or the machine. */
  get #left(): string {
    const { length } = this.#outcomes.filter(({ verdict }) => verdict.wasSlow === true)
    const slow = length === 0 ? '' : `, in ${length} plans MongoDB or the machine was too slow for leases`
    return this.#unplayed === 0 ? slow : `${slow}, no time for ${this.#unplayed} scenarios`
  }

  get #result(): string {
    return this.failures === 0 ? 'nothing lost, doubled, reordered or hanging' : `FAILED: ${this.#failed.join('; ')}`
  }
}

function listOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ')
}
