/**
 * GET /principals/export: everything of one user, one line of JSON each. The head waits for the first line, so that a refusal has a
 * status. The last line is the trailer; a file without it is cut. The export reads no faster than its reader.
 */
import { VerbatimError } from '@verbatim/core'
import type { ExportLine, Owner, Principal } from '@verbatim/core'
import { ownerFor } from '../operator.ts'
import type { ItemFraming } from '../sse/stream-writer.ts'
import { reportedErrorOf } from '../to-wire-error.ts'
import { requireCaller } from './chat-run.ts'
import { guardStream, requestQuery } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

export const exportRoute = '/principals/export'

const headers = {
  'content-type': 'application/x-ndjson; charset=utf-8',
  'content-disposition': 'attachment; filename="export.ndjson"',
  'x-accel-buffering': 'no',
}

/** @throws VerbatimError `UNAUTHENTICATED`, `FORBIDDEN`, `INVALID_INPUT`, `RATE_LIMITED` */
export async function exportPrincipal(parts: ApiParts, exchange: Exchange): Promise<void> {
  const { caller, owner: requestedBy } = await requireCaller(parts, exchange)
  const owner = requestedOwner(parts, exchange, caller)
  const reading = new AbortController()
  const leave = () => reading.abort(new DOMException('The reader has left', 'AbortError'))
  exchange.closed.addEventListener('abort', leave, { once: true })
  const lines = parts.engine.principals.export(owner, { requestedBy, signal: reading.signal })
  const first = await lines.next().catch((error: unknown) => {
    if (!reading.signal.aborted) throw error
    return undefined // the reader has left
  })
  if (first === undefined || first.done === true) return
  const framing = exportFraming(parts)
  const stream = parts.streams.open(exchange.openStream(headers), framing)
  stream.signal.addEventListener('abort', leave, { once: true })
  guardStream(parts, stream, { caller, request: exchange.request })
  await stream.pipe(() => joined(first.value, lines), framing)
}

/** The caller's own data, or that of the user that an operator names. @throws VerbatimError `FORBIDDEN`, `INVALID_INPUT` */
function requestedOwner({ engine }: ApiParts, exchange: Exchange, principal: Principal): Owner {
  const query = requestQuery(exchange.request)
  for (const name of query.keys()) {
    if (name !== 'userId' && name !== 'tenantId') throw invalid(name, 'is no parameter of this call')
    if (query.getAll(name).length > 1) throw invalid(name, 'is there twice')
  }
  const named = { userId: query.get('userId') ?? undefined, tenantId: query.get('tenantId') ?? undefined }
  return ownerFor(engine, principal, named)
}

function invalid(field: string, reason: string): VerbatimError {
  const shown = field.slice(0, 64).toWellFormed()
  return new VerbatimError('INVALID_INPUT', `${shown}: ${reason}`, { data: { field: shown } })
}

function exportFraming({ logger }: ApiParts): ItemFraming<ExportLine> {
  return {
    kind: 'export',
    ping: undefined,
    interrupted: undefined,
    hasNoAge: true,
    opening: '',
    encode: (line) => `${JSON.stringify(line)}\n`,
    ending: '',
    failure(error) {
      reportedErrorOf(error, { logger, where: exportRoute })
      return undefined // a cut: the reader sees no trailer
    },
  }
}

async function* joined(first: ExportLine, rest: AsyncIterable<ExportLine>): AsyncGenerator<ExportLine, void, void> {
  yield first
  yield* rest
}
