import type { Session } from './session.ts'

/** Sessions under the name of their time. */
export interface SessionGroup {
  readonly name: string
  readonly sessions: readonly Session[]
}

const dayMs = 24 * 60 * 60 * 1_000

/** Groups what is sorted newest first, by the user's own days: today, yesterday, and then coarser. */
export function groupSessions(sessions: readonly Session[], now: Date = new Date()): SessionGroup[] {
  const groups: { name: string; sessions: Session[] }[] = []
  for (const session of sessions) {
    const name = nameOfTime(new Date(session.updatedAt), now)
    const last = groups.at(-1)
    if (last?.name === name) last.sessions.push(session)
    else groups.push({ name, sessions: [session] })
  }
  return groups
}

function nameOfTime(time: Date, now: Date): string {
  // Rounded: a day on which the clocks change has 23 or 25 hours.
  const days = Math.round((startOfDay(now) - startOfDay(time)) / dayMs)
  if (days <= 0) return 'Today'
  if (days === 1) return 'Yesterday'
  if (days <= 7) return 'Last 7 days'
  if (days <= 30) return 'Last 30 days'
  return time.toLocaleDateString('en', { month: 'long', year: 'numeric' })
}

function startOfDay(time: Date): number {
  return new Date(time.getFullYear(), time.getMonth(), time.getDate()).getTime()
}
