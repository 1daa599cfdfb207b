/**
 * Budgets of a day (UTC) against a ledger that all processes share. In: what each model call has used. Out: `BUDGET_EXCEEDED` before
 * the call after which a budget would be passed by more than one call of each run.
 */
import { raceSignal } from '../async/race-signal.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { Clock } from '../ports/clock.ts'
import type { BudgetOptions } from '../ports/limit-options.ts'
import type { LedgerAccount, LedgerShard, LedgerUse, UsageLedger } from '../ports/usage-ledger.ts'
import { claudePrices, costOf, pricesOf } from './prices.ts'
import type { CallTokens, PriceTable } from './prices.ts'

/** What one model call has used. */
export interface CallUse extends CallTokens {
  /** As the provider named it. */
  readonly model: string
}

type Scope = 'principal' | 'tenant'

interface BudgetedAccount {
  readonly scope: Scope
  readonly account: LedgerAccount
}

const dayMs = 24 * 60 * 60 * 1_000

/** Running totals in memory. One that is forgotten goes on in a new shard. */
const maxTotals = 10_000

export class Budgets {
  readonly #ledger: UsageLedger
  readonly #clock: Clock
  readonly #options: BudgetOptions
  readonly #prices: PriceTable
  /** What this process has counted, by account. */
  readonly #totals = new Map<string, LedgerShard>()

  constructor({ ledger, clock, options }: { ledger: UsageLedger; clock: Clock; options: BudgetOptions }) {
    this.#ledger = ledger
    this.#clock = clock
    this.#options = options
    this.#prices = options.prices ?? claudePrices
  }

  /** @throws VerbatimError `BUDGET_EXCEEDED`; `UNAVAILABLE` when `deadline` aborts; the signal's reason when it does */
  async requireBudget(
    owner: Owner,
    { deadline, signal }: { deadline: AbortSignal; signal?: AbortSignal },
  ): Promise<void> {
    const accounts = this.#accountsOf(owner)
    const reading = this.#ledger.read(
      accounts.map(({ account }) => account),
      deadline,
    )
    const shards = await (signal === undefined ? reading : raceSignal(reading, signal))
    for (const { scope, account } of accounts) this.#requireUnder(scope, this.#sum(account, shards))
  }

  /** Counts a model call. It is counted in memory at once, and stored with the next call when the database is away. */
  async count(owner: Owner, { model, ...tokens }: CallUse, deadline: AbortSignal): Promise<void> {
    const { inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens } = tokens
    const used = {
      tokens: inputTokens + outputTokens + cacheReadInputTokens + cacheWriteInputTokens,
      costUsd: costOf(tokens, pricesOf(this.#prices, model)),
    }
    const totals = this.#accountsOf(owner).map(({ account }) => this.#add(account, used))
    await this.#ledger.store(totals, deadline)
  }

  #accountsOf({ tenantId, ownerId }: Owner): BudgetedAccount[] {
    const day = this.#clock.now().toISOString().slice(0, 10)
    const { principal, tenant } = this.#options
    return [
      ...(isOn(principal) ? [{ scope: 'principal', account: { tenantId, ownerId, day } } as const] : []),
      ...(isOn(tenant) ? [{ scope: 'tenant', account: { tenantId, ownerId: null, day } } as const] : []),
    ]
  }

  #add(account: LedgerAccount, used: LedgerUse): LedgerShard {
    const key = keyOf(account)
    const before = this.#totals.get(key) ?? { account, shard: crypto.randomUUID(), tokens: 0, costUsd: 0 }
    const total = { ...before, tokens: before.tokens + used.tokens, costUsd: before.costUsd + used.costUsd }
    this.#totals.delete(key)
    const [oldest] = this.#totals.keys()
    if (oldest !== undefined && this.#totals.size >= maxTotals) this.#totals.delete(oldest)
    this.#totals.set(key, total)
    return total
  }

  /** What is stored, and of this process also what is not stored yet. */
  #sum(account: LedgerAccount, shards: readonly LedgerShard[]): LedgerUse {
    const own = this.#totals.get(keyOf(account))
    const others = shards.filter(({ account: of, shard }) => keyOf(of) === keyOf(account) && shard !== own?.shard)
    return [...others, ...(own === undefined ? [] : [own])].reduce<LedgerUse>(
      (sum, one) => ({ tokens: sum.tokens + one.tokens, costUsd: sum.costUsd + one.costUsd }),
      { tokens: 0, costUsd: 0 },
    )
  }

  #requireUnder(scope: Scope, used: LedgerUse): void {
    const { tokensPerDay = Infinity, usdPerDay = Infinity } = this.#options[scope]
    const kind = used.tokens >= tokensPerDay ? 'tokens' : used.costUsd >= usdPerDay ? 'cost' : undefined
    if (kind === undefined) return
    const retryAfterMs = dayMs - (this.#clock.now().getTime() % dayMs)
    throw new VerbatimError(
      'BUDGET_EXCEEDED',
      `The day's budget of this ${scope} is used up; call again tomorrow (UTC)`,
      {
        data: { kind: `${scope}_${kind}`, retryAfterMs },
      },
    )
  }
}

export function isOn(budget: BudgetOptions[Scope]): boolean {
  return budget.tokensPerDay !== undefined || budget.usdPerDay !== undefined
}

function keyOf({ tenantId, ownerId, day }: LedgerAccount): string {
  return JSON.stringify([tenantId, ownerId, day])
}
