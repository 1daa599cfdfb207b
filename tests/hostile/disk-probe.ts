/**
 * How long the disk takes to keep 4 KiB, as the database's journal asks of it at each commit: what of a delay is the disk's that
 * attacker, users and database share here. In: a folder on that disk. Out: the times since the last question.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'

const probeBytes = 4_096
const pauseMs = 100

export interface DiskProbe extends AsyncDisposable {
  /** What each write took since the call before, in milliseconds. */
  take(): number[]
}

export async function startDiskProbe(parent: string): Promise<DiskProbe> {
  const folder = await mkdtemp(join(parent, 'verbatim-probe-'))
  const file = await open(join(folder, 'probe'), 'w')
  const ending = new AbortController()
  let tookMs: number[] = []
  const probing = (async () => {
    const bytes = Buffer.alloc(probeBytes)
    while (!ending.signal.aborted) {
      const beganMs = performance.now()
      await file.write(bytes, 0, probeBytes, 0)
      await file.datasync()
      tookMs.push(performance.now() - beganMs)
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  })()
  return {
    take() {
      const taken = tookMs
      tookMs = []
      return taken
    },
    async [Symbol.asyncDispose]() {
      ending.abort()
      await probing
      await file.close()
      await rm(folder, { recursive: true })
    },
  }
}
