/** What is printed: a line for each plan, the evidence of a failure, and the totals. */
import type { PlanOutcome } from './stage.ts'

interface PlanReport extends PlanOutcome {
  readonly name: string
  readonly seed: number
  readonly profile: string
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function sayPlan({ name, seed, profile, seconds, injected, verdict }: PlanReport): void {
  const isOk = verdict.violations.length === 0
  const faults = listOf(injected) || 'no fault'
  const ends = Object.entries(verdict.ends)
    .map(([end, count]) => `${count} ${end}`)
    .join(', ')
  say(
    `${isOk ? 'ok  ' : 'FAIL'} ${name} seed ${seed} ${profile} ${seconds.toFixed(1)} s: ` +
      `${verdict.runs} runs (${ends}), ${verdict.events} events; ${faults}`,
  )
}

const maxViolations = 12

export function sayFailure({ name, seed, seconds, verdict, logged }: PlanReport, nodes: number): void {
  say(`\n${name}, seed ${seed}: ${verdict.violations.length} violations`)
  for (const text of verdict.violations.slice(0, maxViolations)) say(`  - ${text}`)
  const lateS = ((verdict.slowMs ?? 0) / 1_000).toFixed(1)
  say(
    `  MongoDB or the machine was late for ${lateS} of ${seconds.toFixed(1)} s${verdict.wasSlow ? ', too much for leases' : ''}`,
  )
  if (logged.length > 0)
    say(
      `  what the servers logged last:\n${logged
        .slice(-12)
        .map((line) => `    ${line}`)
        .join('\n')}`,
    )
  const which = name === 'random' ? '--seeds 1' : `--fault ${name}`
  say(`  again: npm run torture -- ${which} --seed ${seed} --nodes ${nodes}\n`)
}

export class Totals {
  readonly #faults = new Map<string, number>()
  readonly #ends = new Map<string, number>()
  readonly #seconds: number[] = []
  #failed: string[] = []
  #runs = 0
  #events = 0
  #slow = 0
  #unplayed = 0

  add({ name, seed, seconds, injected, verdict }: PlanReport): void {
    for (const [kind, count] of injected) this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count)
    for (const [end, count] of Object.entries(verdict.ends)) this.#ends.set(end, (this.#ends.get(end) ?? 0) + count)
    this.#seconds.push(seconds)
    this.#runs += verdict.runs
    this.#events += verdict.events
    if (verdict.wasSlow === true) this.#slow++
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
    const minutes = this.#seconds.reduce((sum, one) => sum + one, 0) / 60
    const faults = [...this.#faults.values()].reduce((sum, one) => sum + one, 0)
    say(
      `Torture: ${this.#seconds.length} plans in ${minutes.toFixed(1)} min, ${this.#runs} runs, ${this.#events} events, ` +
        `${faults} faults of ${this.#faults.size} kinds${this.#left}; ${this.#result}`,
    )
  }

  /** What was not proved, for want of time or of a machine that keeps up. */
  get #left(): string {
    const slow = this.#slow === 0 ? '' : `, in ${this.#slow} plans MongoDB or the machine was too slow for leases`
    return this.#unplayed === 0 ? slow : `${slow}, no time for ${this.#unplayed} scenarios`
  }

  get #result(): string {
    return this.failures === 0 ? 'nothing lost, doubled, reordered or hanging' : `FAILED: ${this.#failed.join('; ')}`
  }

  say(): void {
    const sorted = this.#seconds.toSorted((a, b) => a - b)
    const p = (q: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0).toFixed(1)
    const total = sorted.reduce((sum, one) => sum + one, 0)
    say(`\n${sorted.length} plans in ${(total / 60).toFixed(1)} min (p50 ${p(0.5)} s, p95 ${p(0.95)} s, max ${p(1)} s)`)
    say(`${this.#runs} runs (${listOf(this.#ends)}), ${this.#events} events${this.#left}`)
    say('Faults injected:')
    for (const [kind, count] of [...this.#faults].toSorted(([a], [b]) => (a < b ? -1 : 1)))
      say(`  ${kind.padEnd(36)} ${String(count).padStart(6)}`)
    say(this.#result)
  }
}

function listOf(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ')
}
