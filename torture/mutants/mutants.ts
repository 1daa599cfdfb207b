/** Faults that an engine could have, each with the scenario that must fail. An edit replaces text that occurs exactly once. */

import type { Mutant } from './mutant.ts'
import { mutantsOfHints } from './mutants-of-hints.ts'

const writer = 'packages/core/src/runs/log/append-events.ts'
const log = 'packages/core/src/mongodb/log/event-log.ts'
const end = 'packages/core/src/mongodb/transitions/finish-run.ts'

export const mutants: readonly Mutant[] = [
  {
    name: 'torn-group',
    what: 'a transaction of several turns leaves out what the last of them inserts',
    edits: [
      {
        file: 'packages/core/src/mongodb/driver/collected-writes.ts',
        from: 'await collection.insertMany(documents, { session })',
        to: 'await collection.insertMany(documents.length > 1 ? documents.slice(0, -1) : documents, { session })',
      },
    ],
    fault: 'server-codes',
  },
  {
    name: 'group-answers-before-commit',
    what: 'the callers of a common transaction are answered before it is committed',
    edits: [
      {
        file: 'packages/core/src/mongodb/driver/group-transactions.ts',
        from: 'answers.push(await one.body(session, writes))\n        }\n',
        to: 'answers.push(await one.body(session, writes))\n        }\n        taken.forEach((one, at) => one.resolve(answers[at]))\n',
      },
    ],
    fault: 'kill-in-slow-commit',
  },
  {
    name: 'publish-before-commit',
    what: 'followers see a batch before MongoDB confirms it',
    edits: [
      {
        file: writer,
        from: '    const entries = taken.map((one) => one.entry)\n',
        to: '    const entries = taken.map((one) => one.entry)\n    for (const { appender, entry } of taken) appender.show(entry)\n',
      },
      {
        file: writer,
        from: '  /** @internal The run cannot be written any more. */\n',
        to: '  show(entry: LogEntry): void {\n    this.#options.events.onCommitted({ firstSeq: entry.firstSeq, events: [...entry.events] }, 1)\n  }\n\n',
      },
    ],
    fault: 'kill-in-slow-commit',
  },
  {
    name: 'no-fence',
    what: 'a writer takes the entry of another writer at the same seq for its own',
    edits: [{ file: log, from: "stored.b === entry.b ? 'stored' : 'fenced'", to: "'stored'" }],
    fault: 'zombie',
  },
  {
    name: 'w-1',
    what: 'the primary alone confirms writes',
    edits: [
      {
        file: 'packages/core/src/mongodb/driver/connect.ts',
        from: "writeConcern: { w: 'majority' }",
        to: 'writeConcern: { w: 1 }',
      },
      {
        file: 'packages/core/src/mongodb/driver/transaction.ts',
        from: "writeConcern: { w: 'majority' }",
        to: 'writeConcern: { w: 1 }',
      },
    ],
    fault: 'rollback',
  },
  {
    name: 'cursor-off-by-one',
    what: 'a reader that reconnects misses an event',
    edits: [
      {
        file: 'packages/core/src/contract/run-handle.ts',
        from: 'fromCursor(cursor, runId).seq',
        to: 'fromCursor(cursor, runId).seq + 1',
      },
    ],
    fault: 'reconnect',
  },
  {
    name: 'no-terminal-event',
    what: 'a run ends without a terminal event',
    edits: [
      {
        file: end,
        from: 'writes.insert(runEvents, ending)',
        to: '',
      },
    ],
    fault: 'late-cancel',
  },
  {
    name: 'no-heartbeats',
    what: 'the process does not renew its leases',
    edits: [
      {
        file: 'packages/core/src/runs/lifecycle/renew-leases.ts',
        from: 'ports.runRepository.renewLeases(owned, { processId, leaseMs })',
        to: 'Promise.resolve(owned.map(({ key }) => ({ key, cancelRequested: false })))',
      },
    ],
    fault: 'long-run',
  },
  {
    name: 'new-batch-id-on-retry',
    what: 'a writer takes its own earlier attempt for another writer',
    edits: [
      {
        file: log,
        from: '() => appendOnce(appended, documents)',
        to: '() => appendOnce(appended, documents.map((entry) => ({ ...entry, b: crypto.randomUUID() })))',
      },
    ],
    fault: 'server-codes',
  },
  {
    name: 'doubled-on-retry',
    what: 'a writer stores again what its earlier attempt has stored',
    edits: [
      {
        file: log,
        from: '  if (stored === null) throw new NotCommittedYetError()\n',
        to:
          '  if (stored === null) throw new NotCommittedYetError()\n' +
          '  const _id = { ...entry._id, n: entry._id.n + countOf(entry.e) }\n' +
          '  if (stored.b === entry.b) await runEvents.insertOne({ ...entry, _id })\n',
      },
    ],
    fault: 'server-codes',
  },
  {
    name: 'short-delta-loses-its-block',
    what: 'a delta that is stored short comes back as one of the first block',
    edits: [
      {
        file: 'packages/core/src/mongodb/schema/stored-json.ts',
        from: 'index, delta: deltaOf(short)',
        to: 'index: Math.min(index, 0), delta: deltaOf(short)',
      },
    ],
    fault: 'reconnect',
  },
  {
    name: 'wrong-order-on-catch-up',
    what: 'a late reader receives the log newest first',
    edits: [
      {
        file: 'packages/core/src/runs/log/follow-run.ts',
        from: '  return first.events.some(isTerminalEvent) ? [first] : rest\n',
        to: '  return first.events.some(isTerminalEvent) ? [first] : rest.toReversed()\n',
      },
    ],
    fault: 'reconnect',
  },
  {
    name: 'failed-append-counts-as-stored',
    what: 'an insert that failed as a whole counts as stored (the torture once found this fault)',
    edits: [
      { file: 'packages/core/src/mongodb/driver/map-error.ts', from: '    tellsOfDocuments(error) &&\n', to: '' },
    ],
    fault: 'server-codes',
  },
  {
    name: 'no-recovery',
    what: 'no process ends the runs of a dead one',
    edits: [
      {
        file: 'packages/core/src/runs/recovery/recover-runs.ts',
        from: 'await recoverOne(context, takeovers, signal)',
        to: 'await Promise.resolve(recoverOne.length === 0)',
      },
    ],
    fault: 'kill-owner',
  },
  {
    name: 'two-writers-a-session',
    what: 'a busy session starts another prompt',
    edits: [
      {
        file: 'packages/core/src/mongodb/transitions/admit-run.ts',
        from: "const isIdle = { $eq: ['$activeRunId', null] }",
        to: 'const isIdle = { $literal: true }',
      },
      {
        file: 'packages/core/src/mongodb/transitions/admit-run.ts',
        from: 'if (activeRunId === null) return',
        to: 'if (activeRunId !== undefined) return',
      },
    ],
    fault: 'busy-session',
  },
  {
    name: 'promoted-without-a-lease',
    what: 'two processes drive a promoted run: the one that promotes it, and the one that finds its lease expired',
    edits: [
      {
        file: 'packages/core/src/mongodb/transitions/promote-run.ts',
        from: '{ $literal: agentIds }] }] }, leaseMs, 0] }',
        to: '{ $literal: agentIds }] }] }, 0, 0] }',
      },
    ],
    fault: 'replace',
  },
  {
    name: 'message-is-not-the-stream',
    what: 'the stored message lacks its last block',
    edits: [
      {
        file: end,
        from: 'writer.content(key, end.content)',
        to: 'writer.content(key, end.content.slice(0, -1))',
      },
    ],
    fault: 'late-cancel',
  },
  {
    name: 'drain-says-over',
    what: 'a stopping server tells its followers that the run is over',
    edits: [
      {
        file: 'packages/api/src/http/serve-follow.ts',
        from: /^ {4}interrupted: .*\n/m,
        to: "    interrupted: trpcFrame('return', ''),\n",
      },
      {
        file: 'packages/api/src/sse/event-stream.ts',
        from: /^ {2}return \{ text: retryAfterMs .*\n/m,
        to: "  return { text: 'event: return\\ndata: \\n\\n\\n', isFinal: true }\n",
      },
    ],
    fault: 'drain-at-once',
  },
  {
    name: 'agent-gets-another-file',
    what: 'the first byte of a file that an agent reads is lost',
    edits: [
      {
        file: 'packages/core/src/attachments/attachment-reader.ts',
        from: 'bytes.set(piece, at)',
        to: 'bytes.set(piece.subarray(1), at)',
      },
    ],
    fault: 'kill-in-upload',
  },
  {
    name: 'unknown-file-is-taken',
    what: 'a prompt may name a file that is not there',
    edits: [
      {
        file: 'packages/core/src/attachments/require-usable-attachments.ts',
        from: "  throw errorOf('ATTACHMENT_NOT_FOUND')\n",
        to: '',
      },
      {
        file: 'packages/core/src/mongodb/transitions/bind-attachments.ts',
        from: "    throw errorOf('ATTACHMENT_NOT_FOUND')\n",
        to: '',
      },
      {
        file: 'packages/core/src/mongodb/transitions/bind-attachments.ts',
        from: '  if (keys.length === 0) return false\n',
        to: '  if (keys.length >= 0) return false\n',
      },
    ],
    fault: 'kill-in-upload',
  },
  {
    name: 'files-outlive-their-session',
    what: 'a purge removes messages and forgets the files that they name',
    edits: [
      {
        file: 'packages/core/src/mongodb/retention/purge-session.ts',
        from: 'const keys = attachmentsOf(batch)',
        to: 'const keys = attachmentsOf([])',
      },
    ],
    fault: 'delete-in-stream',
  },
  {
    name: 'chunk-index-off-by-one',
    what: "a resumed stream of the AI SDK begins with the reader's last chunk again",
    edits: [
      {
        file: 'packages/ai-sdk/src/ui/read-chunks.ts',
        from: 'Math.max(0, after - count)',
        to: 'Math.max(0, after - 1 - count)',
      },
    ],
    fault: 'client-cuts',
  },
  ...mutantsOfHints,
]
