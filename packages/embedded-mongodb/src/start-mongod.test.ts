import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { MongoClient } from 'mongodb'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { freePort, isListening, isSocket } from './server-address.ts'
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
  test('a throw-away server is the primary of a replica set, so transactions work at once', async () => {
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
    expect(await isListening(server.address)).toBe(false)
    expect(await exists(server.dataDir)).toBe(false)
  })

  test('a throw-away server and its folder end when the parent process ends, even by SIGKILL', async () => {
    const { server, kill } = await startInAnotherProcess()
    expect(await isListening(server.address)).toBe(true)
    await kill()
    await expect.poll(async () => await isListening(server.address)).toBe(false)
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
    await using server = await startMongod({ env, port: 0 })
    const port = Number(server.address.split(':')[1])
    await expect(startMongod({ env, port })).rejects.toThrow(`Port ${port} is taken`)
  })
})

/** What a program of another user receives that connects to the socket. Only root can run one. */
async function connectAsAnotherUser(path: string): Promise<string> {
  const program = `
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    const socket = require('node:net').connect(${JSON.stringify(path)})
    socket.on('connect', () => { console.log('connected'); process.exit() })
    socket.on('error', ({ code }) => console.log(code))
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program])
  return stdout.trim()
}

/** The ports of this machine that the process listens on. */
async function listeningPorts(pid: number): Promise<string[]> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`)).map(async (fd) => await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
  )
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map(async (name) => await readFile(`/proc/${pid}/net/${name}`, 'utf8')),
  )
  const sockets = tables.flatMap((table) => table.trim().split('\n').slice(1)).map((line) => line.trim().split(/\s+/))
  const listening = sockets.filter(
    ([, , , state, , , , , , inode]) => state === '0A' && links.includes(`socket:[${inode}]`),
  )
  return listening.map(([, local = '']) => local)
}

describe.skipIf(process.platform === 'win32')('who can connect', () => {
  const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

  test('the socket, the data and the log are for the user of the server alone', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'verbatim-test-'))
    await chmod(dataDir, 0o755) // as an earlier version has left it
    await using server = await startMongod({ env, dataDir })
    expect(isSocket(server.address)).toBe(true)
    expect(await mode(dataDir)).toBe('700')
    for (const name of [basename(server.address), 'db']) expect(await mode(join(dataDir, name))).toBe('700')
    for (const name of ['mongod.log', 'server.json']) expect(await mode(join(dataDir, name))).toBe('600')
    await server.stop()
    await rm(dataDir, { recursive: true, force: true })
  })

  test.runIf(process.getuid?.() === 0)('another user of the machine is refused', async () => {
    await using server = await startMongod({ env })
    expect(await connectAsAnotherUser(server.address)).toBe('EACCES')
    // The folder alone keeps others out, and so does the socket alone.
    await chmod(server.dataDir, 0o755)
    expect(await connectAsAnotherUser(server.address)).toBe('EACCES')
  })

  test.runIf(process.platform === 'linux')('no port is open, unless one is asked for', async () => {
    await using hidden = await startMongod({ env })
    expect(await listeningPorts(hidden.pid)).toEqual([])
    await using open = await startMongod({ env, port: 0 })
    expect(await listeningPorts(open.pid)).toHaveLength(1)
  })

  test('a data folder with a long path has its socket elsewhere, for this user alone, and leaves nothing there', async () => {
    const root = await mkdtemp(join(tmpdir(), 'verbatim-test-'))
    const dataDir = join(root, 'a, long: path '.repeat(8))
    await mkdir(dataDir)
    const killed = await startMongod({ env, dataDir })
    expect(await mode(join(killed.address, '..'))).toBe('700')
    await killed.kill('SIGKILL')
    const server = await startMongod({ env, dataDir })
    expect(await count(server.uri, true)).toBe(1)
    await server.stop()
    for (const { address } of [killed, server]) expect(await exists(join(address, '..'))).toBe(false)
    await rm(root, { recursive: true, force: true })
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

  test('a kept folder keeps its data over a restart and holds the socket of no earlier server', async () => {
    const first = await startMongod({ env, dataDir })
    await count(first.uri, true)
    await first.stop()
    await using second = await startMongod({ env, dataDir })
    expect((await readdir(dataDir)).filter(isSocket)).toEqual([basename(second.address)])
    expect(await count(second.uri, false)).toBe(1)
  })

  test('a kept folder can move to another port', async () => {
    const first = await startMongod({ env, dataDir, port: await freePort() })
    await count(first.uri, true)
    await first.stop()
    await using second = await startMongod({ env, dataDir, port: await freePort() })
    expect(second.address).not.toBe(first.address)
    expect(await count(second.uri, true)).toBe(2)
  })

  test('a kept folder of the first version, whose server listened on a port, opens', async () => {
    const port = await freePort()
    const first = await startMongod({ env, dataDir, port })
    await count(first.uri, true)
    await first.stop()
    await writeFile(join(dataDir, 'server.json'), JSON.stringify({ port, pid: first.pid, parentPid: process.pid }))
    await using second = await startMongod({ env, dataDir })
    expect(await count(second.uri, true)).toBe(2)
    const { uri } = JSON.parse(await readFile(join(dataDir, 'server.json'), 'utf8')) as { uri: string }
    expect(await count(uri, false)).toBe(2)
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
    expect(await isListening(server.address)).toBe(true)
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
