import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ownerOf } from '../contract/principal.ts'
import { openKeyDirectory } from './key-directory.ts'
import { openLocalKeys } from './local-keys.ts'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
const { signal } = new AbortController()
const newKey = () => randomBytes(32).toString('base64')

let folder = ''
let keyFile = ''
let directory = ''

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'verbatim-local-keys-'))
  keyFile = join(folder, 'master')
  directory = join(folder, 'owners')
  await writeFile(keyFile, newKey(), { mode: 0o600 })
})

afterEach(async () => await rm(folder, { recursive: true }))

describe('local keys', () => {
  it('Two processes that ask at once for the first key of an owner receive the same one', async () => {
    const services = await Promise.all([1, 2, 3].map(async () => await openLocalKeys({ keyFile, directory })))
    const asked = Array.from({ length: 30 }, async (_, at) => await services[at % 3]?.current(ada, { signal }))
    const found = await Promise.all(asked)
    expect(new Set(found.map((key) => `${key?.id} ${Buffer.from(key?.secret ?? []).toString('hex')}`)).size).toBe(1)
    expect(await services[0]?.find(found[0]?.id ?? '', { signal })).toEqual(found[0])
  })

  it('A key is stored wrapped, under a name that is not the owner, for its own user only', async () => {
    const keys = await openLocalKeys({ keyFile, directory })
    const { secret } = await keys.current(ada, { signal })
    const [file = ''] = (await readdir(directory)).filter((name) => name.endsWith('.key'))
    const text = await readFile(join(directory, file), 'latin1')
    expect(file).not.toContain('ada')
    for (const form of ['base64', 'base64url', 'hex', 'latin1'] as const) {
      expect(text).not.toContain(Buffer.from(secret).toString(form))
    }
    expect((await stat(join(directory, file))).mode & 0o777).toBe(0o600)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    // Nothing else is left of it.
    expect((await readdir(directory)).toSorted()).toEqual([file, 'verbatim-keys'].toSorted())
  })

  it('A destroyed key is gone in every process, and the owner who comes back has another', async () => {
    const [keys, other] = [await openLocalKeys({ keyFile, directory }), await openLocalKeys({ keyFile, directory })]
    const first = await keys.current(ada, { signal })
    await other.destroy(ada, { signal })
    await other.destroy(ada, { signal })
    expect(await keys.find(first.id, { signal })).toBeUndefined()
    const second = await keys.current(ada, { signal })
    expect(second.id).not.toBe(first.id)
    expect(await keys.find(first.id, { signal })).toBeUndefined()
    expect(await keys.find('no such key', { signal }).catch(() => undefined)).toBeUndefined()
  })

  it('A key that is wrapped anew after it was destroyed does not come back', async () => {
    await openLocalKeys({ keyFile, directory })
    const store = await openKeyDirectory(directory)
    const key = { id: 'a', wrapperId: 'b', wrapped: randomBytes(60) }
    const name = 'abcdefghijklmnop'
    expect(await store.create(name, key, { signal })).toBe(true)
    expect(await store.create(name, key, { signal })).toBe(false)
    await store.remove(name, { signal })
    await store.rewrap(name, key, { signal })
    expect(await store.read(name, { signal })).toBeUndefined()
  })

  it('A damaged key is an error, and never taken for a destroyed one', async () => {
    const keys = await openLocalKeys({ keyFile, directory })
    const { id } = await keys.current(ada, { signal })
    const [file = ''] = (await readdir(directory)).filter((name) => name.endsWith('.key'))
    const text = await readFile(join(directory, file), 'latin1')
    for (const bad of ['', text.slice(0, 40), `${text.slice(0, 60)}A${text.slice(61)}`.replace(/ (\S)/, ' x')]) {
      await writeFile(join(directory, file), bad)
      await expect(keys.find(id, { signal }).then((key) => key === undefined || 'read')).rejects.toThrow(
        /damaged|lacks the master key/,
      )
    }
  })

  it.each([
    ['is not there', async () => await rm(keyFile)],
    ['can be read by others', async () => await chmod(keyFile, 0o640)],
    ['is empty', async () => await writeFile(keyFile, '\n')],
    ['holds a password', async () => await writeFile(keyFile, 'correct horse battery staple')],
    ['holds a key that is too short', async () => await writeFile(keyFile, randomBytes(16).toString('base64'))],
  ])('A key file that %s is refused with its name, and is never quoted', async (_what, spoil) => {
    await spoil()
    const error = await openLocalKeys({ keyFile, directory }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'INVALID_CONFIGURATION', message: expect.stringContaining(keyFile) })
    expect(String(error)).not.toContain('horse')
  })

  it('A folder that is there without the marker is refused: it may be a volume that is not mounted', async () => {
    await mkdir(directory)
    const opening = openLocalKeys({ keyFile, directory })
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    await expect(opening).rejects.toThrow('lacks the file verbatim-keys')
  })

  it('A key file that did not wrap the keys of the folder is refused at the start', async () => {
    await (await openLocalKeys({ keyFile, directory })).current(ada, { signal })
    await writeFile(keyFile, newKey())
    await expect(openLocalKeys({ keyFile, directory })).rejects.toThrow('does not open the keys')
  })
})
