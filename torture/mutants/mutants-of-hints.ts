/** Faults on the way of what another process has stored: the change stream, the polls, the peers. */
import type { Mutant } from './mutant.ts'

const log = 'packages/core/src/mongodb/log/event-log.ts'
const tail = 'packages/core/src/runs/log/run-tail.ts'

export const mutantsOfHints: readonly Mutant[] = [
  {
    name: 'stream-batch-skipped',
    what: 'a tail takes any entry of the change stream for the next one',
    edits: [
      {
        file: tail,
        from: 'if (entry.firstSeq !== this.#lastSeq + 1) return this.hint()\n',
        to: '\n',
      },
      {
        file: tail,
        from: 'return this.publish(batch, entry.bytes)',
        to: 'return this.publish({ ...batch, firstSeq: this.#lastSeq + 1 }, entry.bytes)',
      },
    ],
    fault: 'watch-dies',
  },
  {
    name: 'poll-off-by-one',
    what: 'the poll looks one seq too far, and numbers what it finds as the next',
    edits: [
      {
        file: log,
        from: '    { $match: { _id: { $gt: { r: key, n: after }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } } },\n    { $sort',
        to: '    { $match: { _id: { $gt: { r: key, n: after + 1 }, $lt: { r: key, n: Number.MAX_SAFE_INTEGER } } } },\n    { $sort',
      },
      {
        file: log,
        from: 'entry: entry && { firstSeq: _id.n, bytes, open: () => toBatch(cipher, entry) },',
        to: 'entry: entry && { firstSeq: _id.n - 1, bytes, open: async () => ({ ...(await toBatch(cipher, entry)), firstSeq: _id.n - 1 }) },',
      },
    ],
    fault: 'reconnect',
    mode: '--without-change-streams',
  },
  {
    name: 'peer-entry-torn',
    what: 'a process gives its peers the last event of an entry alone, under the seq of the first',
    edits: [
      {
        file: 'packages/core/src/peers/hint-server.ts',
        from: 'const text = JSON.stringify(events)\n',
        to: 'const text = JSON.stringify(events.slice(-1))\n',
      },
    ],
    fault: 'reconnect',
    mode: '--peer-hints',
  },
]
