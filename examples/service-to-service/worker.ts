import { readFile, rename, writeFile } from 'node:fs/promises'
import { createClient } from '@verbatim/client'
import { textOfEvent } from '@verbatim/core'

const [jobId = 'job-1', file = `${jobId}.json`] = process.argv.slice(2)
const verbatim = createClient({
  url: process.env['VERBATIM_URL'] ?? 'http://127.0.0.1:8788',
  token: () => process.env['SERVICE_TOKEN'] ?? 'service-secret',
})

interface Job {
  /** The run's id, made before the first call: however often the worker starts, it is one run. */
  readonly runId: string
  /** The place in the run that `text` reaches to. Both are saved together. */
  cursor?: string
  text: string
  done: boolean
}

async function save(state: Job): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(state))
  await rename(`${file}.new`, file) // whole, or not at all
}

const saved = await readFile(file, 'utf8').catch(() => undefined)
const job: Job =
  saved === undefined ? { runId: crypto.randomUUID(), text: '', done: false } : (JSON.parse(saved) as Job)
await save(job)

// The same id and the same prompt: after a kill this finds the run and asks nothing again.
const sent = verbatim.chat(jobId).send('Summarize the week', { runId: job.runId })
await sent.started

for await (const batch of verbatim.runs.follow(job.runId, { after: job.cursor }).batches) {
  job.text += batch.events.map(textOfEvent).join('')
  job.cursor = batch.cursor
  await save(job)
}
await save({ ...job, done: true })
console.log(`Done: ${job.text.length} characters`)
sent.close()
