/**
 * What others need for the same work, beside Verbatim and a server that keeps nothing: the same clients, the same requests, the same
 * tokens. The peers are no dependencies. Install them in a folder of its own and name it: `--peers <folder>`. One that is not there is left out
 * with a line that says so. resumable-stream needs REDIS_URL, or a redis-server on the PATH.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { env } from '../../support/env.ts'
import { BenchServer, openBenchDatabase } from '../bench-server.ts'
import { answerOf, startChild } from '../child.ts'
import type { BenchContext, Table } from '../group.ts'
import { say } from '../group.ts'
import type { LoadResult } from '../load.ts'
import { median, round } from '../statistics.ts'
import type { TurnLoad, TurnResult } from '../turn-load.ts'
import type { Workload } from '../workload.ts'
import type { PeerOptions } from './peer.ts'

const subjects = {
  plain: 'node:http, keeps nothing',
  'resumable-stream': 'resumable-stream with Redis, keeps nothing',
  'workflow-world': 'streams of @workflow-worlds/mongodb',
  verbatim: 'Verbatim',
} as const

type Subject = keyof typeof subjects

const clients = 32
const paced = { streams: 20, tokensPerSecond: 50 } as const

/** A server under test, whichever it is. */
interface Server extends AsyncDisposable {
  readonly port: number
  cpuMs(): Promise<number>
}

export async function measurePeers(context: BenchContext): Promise<Table[]> {
  await using redis = await startRedis()
  const measured: { burst: Row; paced: Row }[] = []
  for (const subject of Object.keys(subjects) as Subject[]) {
    await using database = openBenchDatabase(context.mongoUri)
    const { mongoUri, peersFolder: folder } = context
    const { databaseName } = database
    await using server = await startServer(subject, { folder, mongoUri, databaseName, redisUrl: redis.url })
    const peer = subjects[subject]
    if (server === undefined) {
      say(`${peer} is not installed in ${folder}`)
      continue
    }
    measured.push({
      burst: { peer, ...(await measureBurst(server, context)) },
      paced: { peer, ...(await measurePaced(server, context)) },
    })
    say(`${peer} is measured`)
  }
  return [
    { title: `Turns of 200 tokens at once, ${clients} clients`, rows: measured.map(({ burst }) => burst) },
    {
      title: `Delay of a token, ${paced.streams} streams of ${paced.tokensPerSecond} tokens/s`,
      rows: measured.map((one) => one.paced),
    },
  ]
}

type Row = Table['rows'][number]

async function startServer(subject: Subject, options: PeerOptions): Promise<Server | undefined> {
  if (subject === 'verbatim') {
    const { mongoUri: uri, databaseName } = options
    const server = await BenchServer.start({ uri, databaseName })
    return {
      port: server.port,
      cpuMs: async () => (await server.use()).cpuMs,
      [Symbol.asyncDispose]: async () => await server.stop(),
    }
  }
  const child = startChild('./peers/peer-server.ts', [subject, JSON.stringify(options)])
  const started = await answerOf<{ isInstalled: false } | { isInstalled: true; port: number }>(child)
  const stop = async () => {
    const ended = once(child, 'exit')
    child.disconnect()
    await ended
  }
  if (!started.isInstalled) {
    await stop()
    return undefined
  }
  return {
    port: started.port,
    async cpuMs() {
      child.send('use')
      return (await answerOf<{ cpuMs: number }>(child)).cpuMs
    },
    [Symbol.asyncDispose]: stop,
  }
}

/** Each round's answer, and what the server's process has used in it; the first round warms up. */
async function rounds<TResult>(
  server: Server,
  { file, message, times }: { file: string; message: object; times: number },
): Promise<(TResult & { serverCpuMs: number })[]> {
  const load = startChild(file, [String(server.port)])
  await answerOf(load)
  const measured: (TResult & { serverCpuMs: number })[] = []
  for (let nth = 0; nth <= times; nth++) {
    const before = await server.cpuMs()
    load.send(message)
    const result = await answerOf<TResult>(load)
    if (nth > 0) measured.push({ ...result, serverCpuMs: (await server.cpuMs()) - before })
  }
  load.disconnect()
  return measured
}

async function measureBurst(server: Server, { rounds: times, seconds }: BenchContext): Promise<Row> {
  const message = { clients, seconds } satisfies TurnLoad
  const measured = await rounds<TurnResult>(server, { file: './turn-load.ts', message, times })
  const mid = (of: (one: (typeof measured)[number]) => number) => median(measured.map(of))
  return {
    'turns/s': Math.round(mid(({ turns, seconds: took }) => turns / took)),
    'tokens/s': Math.round(mid(({ tokens, seconds: took }) => tokens / took)),
    'first token p50 ms': round(mid(({ firstP50Ms }) => firstP50Ms)),
    'first token p99 ms': round(mid(({ firstP99Ms }) => firstP99Ms)),
    'server CPU ms/turn': round(mid(({ serverCpuMs, turns }) => serverCpuMs / turns)),
  }
}

async function measurePaced(server: Server, { rounds: times, seconds }: BenchContext): Promise<Row> {
  const message = { subject: 'verbatim', load: { ...paced, seconds } satisfies Workload }
  const measured = await rounds<LoadResult>(server, { file: './load.ts', message, times })
  const mid = (of: (one: (typeof measured)[number]) => number) => median(measured.map(of))
  return {
    'p50 ms': round(mid(({ p50Ms }) => p50Ms)),
    'p99 ms': round(mid(({ p99Ms }) => p99Ms)),
    'server CPU µs/token': round(mid(({ serverCpuMs, tokens }) => (serverCpuMs * 1_000) / tokens)),
  }
}

/** A Redis that stores nothing on disk. Its address is undefined where there is none to be had. */
async function startRedis(): Promise<AsyncDisposable & { readonly url: string | undefined }> {
  const url = env['REDIS_URL']
  if (url !== undefined) return { url, [Symbol.asyncDispose]: async () => {} }
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], {
    stdio: 'ignore',
  })
  const ended = once(server, 'exit')
  const isThere = await Promise.race([sleep(500).then(() => true), ended.then(() => false)]).catch(() => false)
  return {
    url: isThere ? `redis://127.0.0.1:${port}` : undefined,
    async [Symbol.asyncDispose]() {
      if (!isThere) return
      server.kill()
      await ended
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP server has one
  server.close()
  return port
}
