/** Others build clients from docs/protocol.md, so these tests compare its tables with the code. */
import { readFile } from 'node:fs/promises'
import { errorMeanings, errorTable } from '@verbatim/core'
import type { ErrorCode } from '@verbatim/core'
import { expect, it } from 'vitest'
import { createAppRouter } from './create-router.ts'
import { openTestApi } from './testing/serve-test-api.ts'

const document = await readFile(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')

/** The rows of the first table under `heading`. */
function rowsUnder(heading: string): string[][] {
  const section = document.slice(document.indexOf(`\n## ${heading}`)).split('\n## ')[1] ?? ''
  const table = section.split('\n\n').find((paragraph) => paragraph.startsWith('|')) ?? ''
  const rows = table.split('\n').filter((line) => line.startsWith('| `'))
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  )
}

it('docs/protocol.md lists every error with its status', () => {
  const documented = rowsUnder('6. Errors')
  const inCode = Object.entries(errorMeanings).map(([code, meaning]) => {
    const { httpStatus, retryable } = errorTable[code as ErrorCode]
    return [code, String(httpStatus), retryable ? 'yes' : 'no', meaning]
  })
  expect(documented).toEqual(inCode)
})

it('docs/protocol.md lists every procedure with its kind', async () => {
  await using app = await openTestApi()
  const router = createAppRouter({ engine: app.engine, principalOf: () => null })
  const procedures = router._def.procedures as unknown as Record<string, { _def: { type: string } }>
  const inCode = Object.entries(procedures).map(([path, { _def }]) => [path, _def.type])
  expect(rowsUnder('3. tRPC').map((row) => row.slice(0, 2))).toEqual(inCode)
})
