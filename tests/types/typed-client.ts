/**
 * A team's client that knows the agents of its server by their type alone. `tsc` checks it in the repository, and `pnpm pack:check`
 * outside of it; each `@ts-expect-error` is a call that must not compile. No test runs it.
 */
import { createClient } from '@verbatim/client'
import type { AgentsOf, PartialOutput } from '@verbatim/client'
import type { agents, Report } from './agents.ts'

type Agents = AgentsOf<typeof agents>
type IsSame<TLeft, TRight> =
  (<TAny>() => TAny extends TLeft ? 1 : 2) extends <TAny>() => TAny extends TRight ? 1 : 2 ? true : false

declare function show(...values: unknown[]): void

const verbatim = createClient<Agents>({ url: 'http://127.0.0.1:8787' })
const chat = verbatim.chat('session-1')

export async function outputs(): Promise<string> {
  const run = chat.send('The prices?', { agentId: 'report' })
  const report = await run.output
  const isReport: IsSame<typeof report, Report> = true
  for await (const partial of run.partialOutput) {
    const isPartial: IsSame<typeof partial, PartialOutput<Report>> = true
    if (isPartial) show(partial.title, partial.items?.[0]?.name)
  }
  const price: number | undefined = report.items[0]?.price
  return isReport ? `${report.title}: ${price}` : ''
}

export async function messages(): Promise<string[]> {
  const { items } = await verbatim.messages.list('session-1')
  return items.map((message) => {
    if (message.agentId === 'report') return message.output?.title ?? ''
    if (message.agentId === 'echo') return message.output?.said ?? ''
    const none: null = message.output
    return String(none)
  })
}

export async function prose(): Promise<void> {
  const first = chat.send('Hi')
  const none: Promise<never> = first.output
  const named = chat.send('Hi', { agentId: 'claude', whenBusy: 'queue' })
  for await (const text of named.text) show(text, none)
}

export async function inputs(): Promise<string> {
  chat.send('The books?', { agentId: 'ledger', input: { since: '2026-05-01' } })
  chat.send('Hi', { agentId: 'echo' })
  const run = chat.send('Hi', { agentId: 'echo', input: { loud: true } })
  return (await run.output).said
}

export async function data(): Promise<number> {
  const run = chat.send('Hi', { agentId: 'echo' })
  let done = 0
  for await (const event of run) {
    if (event.type === 'data' && event.name === 'progress') done = event.data.done / event.data.total
    // @ts-expect-error -- the agent has no data of this name
    if (event.type === 'data' && event.name === 'progres') done = 0
  }
  const { items } = await verbatim.messages.list('session-1')
  for (const message of items) {
    if (message.agentId !== 'echo') continue
    for (const part of message.data) show(part.name === 'note' ? part.data.toUpperCase() : part.data.total)
  }
  return done
}

export function wrongInputs(): void {
  // @ts-expect-error -- the ledger needs to know since when
  chat.send('The books?', { agentId: 'ledger' })
  // @ts-expect-error -- the ledger needs to know since when
  chat.send('The books?', { agentId: 'ledger', input: { limit: 3 } })
  // @ts-expect-error -- a limit is a number
  chat.send('The books?', { agentId: 'ledger', input: { since: '2026-05-01', limit: '3' } })
  // @ts-expect-error -- the first agent takes no input
  chat.send('Hi', { input: { loud: true } })
}

export function mistakes(): void {
  // @ts-expect-error -- the server has no agent of this id
  chat.send('Hi', { agentId: 'reprot' })
  // @ts-expect-error -- an option of another name
  chat.send('Hi', { agentID: 'report' })
  // @ts-expect-error -- the agent takes no input
  chat.send('Hi', { agentId: 'report', input: { since: 'May' } })
  const run = chat.send('The prices?', { agentId: 'report' })
  // @ts-expect-error -- a report has no such field
  void run.output.then(({ prices }) => prices)
}

export async function unfinished(): Promise<void> {
  for await (const partial of chat.send('The prices?', { agentId: 'report' }).partialOutput) {
    // @ts-expect-error -- while it is made, a field may be missing
    show(partial.title.length)
  }
}

/** Without the type argument everything is as it is on the wire. */
export async function untyped(): Promise<void> {
  const any = createClient({ url: 'http://127.0.0.1:8787' })
  const run = any.chat('session-1').send('Hi', { agentId: 'whatever' })
  const output = await run.output
  if (typeof output === 'object' && output !== null && !Array.isArray(output)) show(output['title'])
  // @ts-expect-error -- JSON may be anything
  show(output.title)
}
