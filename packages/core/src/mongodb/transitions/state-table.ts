/**
 * The engine's state machine as MongoDB holds it: every step that changes a run or a session, what it writes, and why it may be repeated.
 * tests/core/state-table.test.ts drives each row on MongoDB, twice, and compares what was written with what stands here.
 *
 * A run:      absent -> queued -> running -> completed | failed | cancelled | interrupted -> deleted
 * A session:  absent -> idle <-> busy -> tombstone -> purged
 *
 * Each row is one transaction or one statement, except `archive` and `purge`, which can stop and go on anywhere.
 */
import type { RunStatus } from '../../contract/run.ts'

export type RunState = 'absent' | RunStatus | 'deleted'

/** `tombstone`: deleted, and something of it is still stored. `purged`: only keys are left. */
export type SessionState = 'absent' | 'idle' | 'busy' | 'tombstone' | 'purged'

export interface Writes {
  readonly inserted?: number
  readonly updated?: number
  readonly removed?: number
}

/** What a step writes, as numbers of documents. */
export type Written = Readonly<
  Partial<Record<'sessions' | 'messages' | 'runs' | 'run_events' | 'run_archives' | 'audit', Writes>>
>

export interface Transition {
  /** The run that the step is about, before and after it; absent in steps of a session alone. */
  readonly run?: readonly [RunState, RunState]
  readonly session: readonly [SessionState, SessionState]
  readonly trigger: string
  readonly file: string
  readonly writes: Written
  /** Why the same call may be made again after a lost answer. */
  readonly repeat: string
  /** What a repeat writes. @default nothing */
  readonly repeatWrites?: Written
}

const one = { inserted: 1 } as const
const changed = { updated: 1 } as const

const end = {
  writes: { runs: changed, sessions: changed, messages: one, run_events: one },
  repeat: 'the terminal entry has the batch id of this end',
} as const

/** Every transition by its name. */
export const transitions = {
  createSession: {
    session: ['absent', 'idle'],
    trigger: 'sessions.create',
    file: 'session-repository.ts',
    writes: { sessions: one },
    repeat: 'the key of the session',
  },
  appendMessage: {
    session: ['idle', 'idle'],
    trigger: 'messages.append',
    file: 'session-repository.ts',
    writes: { sessions: changed, messages: one },
    repeat: 'the key of the message; the same content is the same message',
  },
  startInNewSession: {
    run: ['absent', 'running'],
    session: ['absent', 'busy'],
    trigger: 'runs.start names a session that is not there',
    file: 'transitions/start-run.ts',
    writes: { sessions: one, messages: one, runs: one, run_events: one },
    repeat: 'the key of the run, and its start id',
  },
  start: {
    run: ['absent', 'running'],
    session: ['idle', 'busy'],
    trigger: 'runs.start in an idle session',
    file: 'transitions/start-run.ts',
    writes: { sessions: changed, messages: one, runs: one, run_events: one },
    repeat: 'the key of the run, and its start id',
  },
  refuse: {
    run: ['absent', 'absent'],
    session: ['busy', 'busy'],
    trigger: 'runs.start in a busy session, whenBusy "reject", or with a full queue',
    file: 'transitions/admit-run.ts',
    writes: {},
    repeat: 'nothing is written',
  },
  queue: {
    run: ['absent', 'queued'],
    session: ['busy', 'busy'],
    trigger: 'runs.start in a busy session, whenBusy "queue"',
    file: 'transitions/start-run.ts',
    writes: { sessions: changed, runs: one, run_events: one },
    repeat: 'the session names the run',
  },
  replace: {
    run: ['absent', 'queued'],
    session: ['busy', 'busy'],
    trigger: 'runs.start in a busy session, whenBusy "replace"; here one run waits',
    file: 'transitions/start-run.ts',
    writes: { sessions: changed, runs: { inserted: 1, updated: 2 }, run_events: { inserted: 2 } },
    repeat: 'the session names the run',
  },
  cancelQueued: {
    run: ['queued', 'cancelled'],
    session: ['busy', 'busy'],
    trigger: 'runs.cancel of a run that waits',
    file: 'transitions/cancel-queued-run.ts',
    writes: { sessions: changed, runs: changed, run_events: one },
    repeat: 'the run waits no more',
  },
  requestCancel: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'runs.cancel of a running run; its process ends it as cancelled',
    file: 'run-repository.ts',
    writes: { runs: changed },
    repeat: 'the first time stays',
  },
  append: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'the agent yields events',
    file: 'log/event-log.ts',
    writes: { run_events: one },
    repeat: 'the key of run and first seq, and the batch id of the entry',
  },
  renewLease: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'the heartbeat of the process that drives the run',
    file: 'run-repository.ts',
    writes: { runs: changed },
    repeat: 'a lease may be renewed at any time',
    repeatWrites: { runs: changed },
  },
  releaseLease: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'the process stops',
    file: 'run-repository.ts',
    writes: { runs: changed },
    repeat: 'the lease is 0 ms already',
  },
  complete: {
    run: ['running', 'completed'],
    session: ['busy', 'idle'],
    trigger: 'the agent has said all, and no run waits; failed and cancelled runs end in the same way',
    file: 'transitions/finish-run.ts',
    ...end,
  },
  completeAndPromote: {
    run: ['running', 'completed'],
    session: ['busy', 'busy'],
    trigger: 'the same, and a run waits: it goes from queued to running, with a lease of the process that ends the run',
    file: 'transitions/promote-run.ts',
    writes: { runs: { updated: 2 }, sessions: changed, messages: { inserted: 2 }, run_events: { inserted: 2 } },
    repeat: 'as for any end; the promoted run has the batch id as its start id, and its lease begins anew',
    repeatWrites: { runs: changed },
  },
  claim: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'recovery finds that the lease has expired; the fence rises',
    file: 'run-repository.ts',
    writes: { runs: changed },
    repeat: 'the lease is fresh; a lost claim expires',
  },
  resume: {
    run: ['running', 'running'],
    session: ['busy', 'busy'],
    trigger: 'recovery, when the log holds only the beginning: `run_resumed` at the next seq',
    file: 'log/event-log.ts',
    writes: { run_events: one },
    repeat: 'the key of run and first seq, and the batch id of the entry',
  },
  interrupt: {
    run: ['running', 'interrupted'],
    session: ['busy', 'idle'],
    trigger: 'recovery, when the log holds a part of the answer',
    file: 'transitions/finish-run.ts',
    ...end,
  },
  continue: {
    run: ['running', 'interrupted'],
    session: ['busy', 'busy'],
    trigger: 'the same, when the agent continues: a linked run starts in the same transaction',
    file: 'transitions/continue-run.ts',
    writes: {
      runs: { inserted: 1, updated: 1 },
      sessions: changed,
      messages: { inserted: 2 },
      run_events: { inserted: 2 },
    },
    repeat: 'the terminal entry has the batch id of this end',
  },
  retry: {
    run: ['absent', 'running'],
    session: ['idle', 'busy'],
    trigger: 'runs.retry; the prompt is stored already',
    file: 'transitions/retry-run.ts',
    writes: { sessions: changed, runs: one, run_events: one },
    repeat: 'the key of the run, and its start id',
  },
  archive: {
    run: ['completed', 'completed'],
    session: ['idle', 'idle'],
    trigger: 'a minute after the end; here the log has 3 entries',
    file: 'log/archive-events.ts',
    writes: { run_archives: one, run_events: { removed: 2 }, runs: changed },
    repeat: 'the archive is whole before the log is emptied',
  },
  sweep: {
    run: ['completed', 'completed'],
    session: ['idle', 'idle'],
    trigger: '30 days after that',
    file: 'retention/sweep-runs.ts',
    writes: { run_archives: { removed: 1 }, run_events: { removed: 1 }, runs: changed, audit: one },
    repeat: 'the run is not due any more',
  },
  deleteSession: {
    run: ['queued', 'cancelled'],
    session: ['busy', 'tombstone'],
    trigger: 'sessions.delete; here one run is active and one waits',
    file: 'transitions/delete-session.ts',
    writes: { sessions: changed, runs: { updated: 2 }, run_events: one },
    repeat: 'a tombstone is answered as it is',
  },
  purge: {
    run: ['completed', 'deleted'],
    session: ['tombstone', 'purged'],
    trigger: 'after that, when no run is active; here the log has 3 entries, of which the last key stays',
    file: 'retention/purge-session.ts',
    writes: {
      sessions: changed,
      messages: { removed: 2 },
      runs: changed,
      run_events: { updated: 1, removed: 2 },
      audit: one,
    },
    repeat: 'each step finds what is left',
  },
} as const satisfies Record<string, Transition>

export type TransitionName = keyof typeof transitions
