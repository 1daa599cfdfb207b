import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { MongoClient } from 'mongodb'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { freePort, isListening } from './free-port.ts'
import { startMongod, type EmbeddedMongod } from './start-mongod.ts'

// oxlint-disable-next-line node/no-process-env -- the binary is found through the environment
const env = process.env

async function count(uri: string, write: boolean): Promise<number> {
  await using client = new MongoClient(uri)
  const notes = client.db('app').collection('notes')
  if (write) await notes.insertOne({ text: 'kept' }, { writeConcern: { w: 'majority' } })
  return await notes.countDocuments()
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

/** Runs a program that starts a server and prints it. The program runs until `kill`. */
async function startInAnotherProcess(dataDir?: string): Promise<{ server: EmbeddedMongod; kill: () => Promise<void> }> {
  const program = `
    import { startMongod } from ${JSON.stringify(new URL('./start-mongod.ts', import.meta.url).href)}
    const server = await startMongod({ env: process.env, dataDir: ${dataDir === undefined ? 'undefined' : JSON.stringify(dataDir)} })
    console.log(JSON.stringify(server))
    setInterval(() => {}, 1000)
  `
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line]: unknown[] = await once(child.stdout, 'data')
  return {
    server: JSON.parse(String(line)) as EmbeddedMongod,
    kill: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

test('all test files of one run share one MongoDB', async () => {
  expect(inject('mongoUri')).toMatch(/^mongodb/)
})

describe('a throw-away server', () => {
  test('a throw-away server is the primary of a replica set on loopback, so transactions work at once', async () => {
    await using server = await startMongod({ env })
    await using client = new MongoClient(server.uri)
    await client.withSession(async (session) => {
      await session.withTransaction(async () => {
        await client.db('app').collection('notes').insertOne({ text: 'a' }, { session })
      })
    })
    expect(await count(server.uri, false)).toBe(1)
  })

  test('a stopped throw-away server leaves no files, and a second stop does no harm', async () => {
    const server = await startMongod({ env })
    await server.stop()
    await server.stop()
    expect(await isListening(server.port)).toBe(false)
    expect(await exists(server.dataDir)).toBe(false)
  })

  test('a throw-away server and its folder end when the parent process ends, even by SIGKILL', async () => {
    const { server, kill } = await startInAnotherProcess()
    expect(await isListening(server.port)).toBe(true)
    await kill()
    await expect.poll(async () => await isListening(server.port)).toBe(false)
    await expect.poll(async () => await exists(server.dataDir)).toBe(false)
  })

  test('a throw-away server starts with the given server parameters', async () => {
    await using server = await startMongod({ env, setParameters: { enableTestCommands: 1 } })
    await using client = new MongoClient(server.uri)
    const answer = await client.db('admin').command({ getParameter: 1, enableTestCommands: 1 })
    expect(answer['enableTestCommands']).toBe(true)
  })

  test('a start gives up when its signal aborts', async () => {
    await expect(startMongod({ env, signal: AbortSignal.abort(new Error('no longer')) })).rejects.toThrow('no longer')
  })

  test('a start on a taken port fails and names the port', async () => {
    await using server = await startMongod({ env })
    await expect(startMongod({ env, port: server.port })).rejects.toThrow(`Port ${server.port} is taken`)
  })
})

describe('a kept folder', () => {
  let dataDir: string
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'verbatim-test-'))
  })
  afterEach(async () => {
    await rm(dataDir, { recursive: true, force: true })
  })

  test('a kept folder keeps its data and its port over a restart', async () => {
    const first = await startMongod({ env, dataDir })
    await count(first.uri, true)
    await first.stop()
    await using second = await startMongod({ env, dataDir })
    expect(second.port).toBe(first.port)
    expect(await count(second.uri, false)).toBe(1)
  })

  test('a kept folder can move to another port', async () => {
    const first = await startMongod({ env, dataDir })
    await count(first.uri, true)
    await first.stop()
    await using second = await startMongod({ env, dataDir, port: await freePort() })
    expect(second.port).not.toBe(first.port)
    expect(await count(second.uri, true)).toBe(2)
  })

  test('a kept folder survives the SIGKILL of its server', async () => {
    const first = await startMongod({ env, dataDir })
    await count(first.uri, true)
    await first.kill('SIGKILL')
    await using second = await startMongod({ env, dataDir })
    expect(await count(second.uri, false)).toBe(1)
  })

  test('a kept folder starts again right after the SIGKILL of its parent process', async () => {
    const { server, kill } = await startInAnotherProcess(dataDir)
    await count(server.uri, true)
    await kill()
    await using second = await startMongod({ env, dataDir })
    expect(second.pid).not.toBe(server.pid)
    expect(await count(second.uri, false)).toBe(1)
  })

  test('a start takes a kept folder over from a server that outlived its parent and its watchdog', async () => {
    const { server, kill } = await startInAnotherProcess(dataDir)
    await count(server.uri, true)
    await promisify(execFile)('pkill', ['-KILL', '-f', `watchdog ${server.pid} TERM`])
    await kill()
    expect(await isListening(server.port)).toBe(true)
    await using second = await startMongod({ env, dataDir })
    expect(second.pid).not.toBe(server.pid)
    expect(await count(second.uri, false)).toBe(1)
  })

  test('the second start on one folder fails and names the process of the first', async () => {
    await using first = await startMongod({ env, dataDir })
    await expect(startMongod({ env, dataDir })).rejects.toThrow(`${dataDir} is in use by process ${process.pid}`)
    expect(await count(first.uri, true)).toBe(1)
  })

  test('of two starts on one folder at the same time, one succeeds', async () => {
    const both = await Promise.allSettled([startMongod({ env, dataDir }), startMongod({ env, dataDir })])
    const started = both.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    const refused = both.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []))
    await Promise.all(started.map(async (server) => await server.stop()))
    expect(started).toHaveLength(1)
    expect(refused).toEqual([expect.stringContaining('is in use by process')])
    expect(await readdir(dataDir)).toContain('server.json')
  })
})
