/**
 * An export as one HTTP answer: one JSON line after another, read only as fast as they are taken. It cannot be resumed: what is cut is
 * asked for again.
 */
import { childController, VerbatimError } from '@verbatim/core'
import type { ExportLine } from '@verbatim/core'
import { withFreshToken } from './connection.ts'
import type { Connection } from './connection.ts'
import { createWatchdog } from './open-stream.ts'
import { errorOfResponse } from './to-error.ts'
import { raceSignal } from './wait.ts'

/** Whose data; the caller's own when left out. */
export interface ExportRequest {
  readonly userId?: string | undefined
  readonly tenantId?: string | undefined
}

/** @throws VerbatimError `UNAVAILABLE` when the answer ends before the trailer */
export async function* readExport(
  connection: Connection,
  { userId, tenantId }: ExportRequest,
  signal: AbortSignal,
): AsyncGenerator<ExportLine, void, void> {
  const query = new URLSearchParams()
  if (userId !== undefined) query.set('userId', userId)
  if (tenantId !== undefined) query.set('tenantId', tenantId)
  let last: ExportLine | undefined
  for await (const text of readLines(connection, `${connection.rootUrl}/principals/export?${query}`, signal)) {
    last = JSON.parse(text) as ExportLine // the server's contract; a line of a newer type passes through
    yield last
  }
  if (last?.type !== 'trailer') throw new VerbatimError('UNAVAILABLE', 'The export was cut before its end; ask again')
}

async function* readLines(connection: Connection, url: string, outer: AbortSignal): AsyncGenerator<string, void, void> {
  const { controller, release } = childController(outer)
  const { signal } = controller
  const watchdog = createWatchdog(connection.idleTimeoutMs, (reason) => controller.abort(reason))
  try {
    const init = { headers: { accept: 'application/x-ndjson' }, cache: 'no-store', signal } as const
    const answer = withFreshToken(async (refresh) => await connection.fetch(url, init, { refresh }))
    const response = await watchdog.guard(raceSignal(answer, signal))
    if (!response.ok || response.body === null) throw await errorOfResponse(response, connection.transformer)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    // Of the line whose end has not come yet: it may be of megabytes, and come in hundreds of pieces.
    let pieces: string[] = []
    for (;;) {
      const { done, value } = await watchdog.guard(raceSignal(reader.read(), signal))
      if (done) return
      const [head = '', ...lines] = value.split('\n')
      pieces.push(head)
      if (lines.length === 0) continue
      yield pieces.join('')
      pieces = [lines.pop() ?? '']
      yield* lines
    }
  } finally {
    release()
    watchdog.stop()
    controller.abort() // frees the socket when the lines are no longer wanted
  }
}
