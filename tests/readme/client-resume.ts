// What the reader has.
import type { VerbatimClient } from '@verbatim/client'

declare const verbatim: VerbatimClient
declare const runId: string
declare const cursor: string

// What the README shows.
const run = verbatim.runs.follow(runId, { after: cursor })

console.log(run.status)
