/** The hostile caller, in a process of its own so that its work delays no honest user's clock. Forked by run-phases.ts; argument: the port. */
import { hostileUserOf, Tally } from './attack.ts'
import { attacks } from './attacks.ts'

/** An attack to run for some time; the answer is an {@link AttackEnd}. */
export interface AttackOrder {
  readonly name: string
  readonly phase: string
  readonly ms: number
}

export interface AttackEnd {
  readonly counts: Readonly<Record<string, number>>
  readonly untyped: readonly string[]
}

const port = Number(process.argv[2])

process.on('message', (order: AttackOrder) => {
  void attack(order).then((end) => process.send?.(end))
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

async function attack({ name, phase, ms }: AttackOrder): Promise<AttackEnd> {
  const tally = new Tally()
  const chosen = attacks.find((one) => one.name === name)
  if (chosen === undefined) throw new Error(`There is no attack ${name}`)
  await chosen.run({ port, user: hostileUserOf(chosen), tally, phase, signal: AbortSignal.timeout(ms) })
  return { counts: tally.counts, untyped: tally.untyped }
}
