import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fetchArchive, httpSource, run } from './fetch-archive.ts'
import { downloadMongod } from './fetch-mongod.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'verbatim-fetch-'))
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

const mongod = '#!/bin/sh\necho db version v0\n'

/** An archive as MongoDB makes them, with its pin. */
function makeArchive(): { bytes: Buffer; name: string; sha256: string } {
  mkdirSync(join(scratch, 'mongodb-1', 'bin'), { recursive: true })
  writeFileSync(join(scratch, 'mongodb-1', 'bin', 'mongod'), mongod)
  const file = join(scratch, 'mongodb-1.tgz')
  execFileSync('tar', ['-czf', file, '-C', scratch, 'mongodb-1'])
  const bytes = readFileSync(file)
  return { bytes, name: 'mongodb-1.tgz', sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** Answers every path with `bytes`; `cutAt` breaks the connection off after so many of them. */
async function serveBytes(bytes: Buffer, { cutAt }: { cutAt?: number } = {}) {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': bytes.length, connection: 'close' })
    if (cutAt === undefined) response.end(bytes)
    else response.write(bytes.subarray(0, cutAt), () => response.destroy())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => void (await once(server.close(), 'close'))
  return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: close }
}

const unpack = async (file: string, folder: string) => void (await run('tar', ['-xzf', file, '-C', folder]))

test('an archive with the pinned content is unpacked into its place, and its server is executable', async () => {
  const { bytes, ...archive } = makeArchive()
  await using server = await serveBytes(bytes)
  const target = join(scratch, 'cache', 'mongod-1')
  expect(await fetchArchive(archive, { target, fetch: httpSource(server.url), unpack })).toBe(target)
  expect(readFileSync(target, 'utf8')).toBe(mongod)
  expect(statSync(target).mode & 0o111).toBe(0o111)
  expect(readdirSync(join(scratch, 'cache'))).toEqual(['mongod-1'])
})

test('an archive in which one byte is another one is refused and removed, and an older server stays in its place', async () => {
  const { bytes, ...archive } = makeArchive()
  const tampered = Buffer.from(bytes)
  tampered[20] = (tampered[20] ?? 0) ^ 1
  await using server = await serveBytes(tampered)
  const target = join(scratch, 'cache', 'mongod-1')
  mkdirSync(join(scratch, 'cache'))
  writeFileSync(target, 'older')
  let wasUnpacked = false
  const fetched = fetchArchive(archive, {
    target,
    fetch: httpSource(server.url),
    unpack: async () => void (wasUnpacked = await Promise.resolve(true)),
  })
  await expect(fetched).rejects.toThrow(`instead of ${archive.sha256}, so it was removed`)
  expect(wasUnpacked).toBe(false)
  expect(readdirSync(join(scratch, 'cache'))).toEqual(['mongod-1'])
  expect(readFileSync(target, 'utf8')).toBe('older')
})

test.each([
  ['a download that breaks off', { cutAt: 40 }],
  ['a server that serves an empty file', { isEmpty: true }],
])('%s leaves nothing', async (_name, { cutAt, isEmpty = false }: { cutAt?: number; isEmpty?: boolean }) => {
  const { bytes, ...archive } = makeArchive()
  await using server = await serveBytes(isEmpty ? Buffer.alloc(0) : bytes, cutAt === undefined ? {} : { cutAt })
  const target = join(scratch, 'cache', 'mongod-1')
  const fetched = fetchArchive(archive, { target, fetch: httpSource(server.url), unpack })
  await expect(fetched).rejects.toThrow(archive.name)
  expect(readdirSync(join(scratch, 'cache'))).toEqual([])
})

test.skipIf(process.platform === 'win32')(
  "a mirror's MongoDB archive is held against the pinned hash of this machine's platform",
  async () => {
    await using mirror = await serveBytes(makeArchive().bytes)
    const env = { XDG_CACHE_HOME: join(scratch, 'cache'), MONGOMS_DOWNLOAD_MIRROR: mirror.url }
    await expect(downloadMongod(env)).rejects.toThrow(/has the SHA-256 [0-9a-f]{64} instead of [0-9a-f]{64}/)
    expect(readdirSync(join(scratch, 'cache', 'verbatim', 'mongod'))).toEqual([])
  },
)
