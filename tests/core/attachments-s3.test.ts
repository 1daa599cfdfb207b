/** The same attachments with their bytes in S3: the real SDK against a real server of its protocol. */
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createS3Store } from '@verbatim/core/s3'
import { createEngine, systemClock } from '@verbatim/core/server'
import { startFauxqs } from 'fauxqs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase } from '../support/engine.ts'
import { collect, filesLeft, imageOf, inPieces, noFiles, pngOf, readBack, upload } from '../support/files.ts'
import { ada } from '../support/follow.ts'
import { openTestKeys } from '../support/keys.ts'

const signal = AbortSignal.timeout(600_000)
const bucket = 'attachments'
const prefix = 'verbatim/'

describe('attachments in S3', () => {
  let server: Awaited<ReturnType<typeof startFauxqs>>
  let client: S3Client
  /** What the SDK has sent. */
  const calls: string[] = []
  beforeAll(async () => {
    server = await startFauxqs({ port: 0, host: '127.0.0.1', logger: false })
    client = new S3Client({
      endpoint: `http://127.0.0.1:${server.port}`,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      forcePathStyle: true,
      maxAttempts: 1,
    })
    client.middlewareStack.add(
      (next, { commandName = '' }) =>
        async (args) => {
          calls.push(commandName.replace(/Command$/, ''))
          return await next(args)
        },
      { step: 'initialize' },
    )
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
  })
  afterAll(async () => {
    client.destroy()
    await server.stop()
  })

  async function open(
    encryption?: Parameters<typeof openDatabase>[0],
    store = createS3Store({ client, bucket, prefix }),
  ) {
    const database = await openDatabase(encryption)
    const { databaseName } = database
    const input = { client: database.client, databaseName, clock: systemClock, encryption, attachmentStore: store }
    const storage = createMongoStorage(input)
    const engine = createEngine({ ...storage, agents: [pacedAgent(answerOf(['Well']))] }, { sweepMs: 600_000 })
    return {
      engine,
      database,
      async [Symbol.asyncDispose]() {
        await engine.close()
        await database[Symbol.asyncDispose]()
      },
    }
  }

  const keys = async () => {
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }))
    return Contents.map(({ Key }) => Key)
  }

  it.each([1_000, 5 * 1024 * 1024, 12_000_001])(
    'a file of %i bytes comes back whole, in part, and goes with its session',
    async (size) => {
      await using test = await open()
      const { engine, database } = test
      const bytes = pngOf(size)
      const { id } = await upload(engine, bytes)
      expect((await readBack(engine, id)).equals(bytes)).toBe(true)
      const file = await engine.attachments.open(ada, id)
      const range = { start: Math.floor(size / 3), end: size - 1 }
      expect((await collect(file.read({ range, signal }))).equals(bytes.subarray(range.start, range.end))).toBe(true)
      expect(await filesLeft(database)).toEqual({ ...noFiles, attachments: 1 })
      expect(await keys()).toEqual([expect.stringMatching(/^verbatim\/[\w-]{32}\/[0-9a-f-]{36}$/)])
      await engine.messages.append(ada, { sessionId: 's', role: 'user', content: [imageOf(id)] })
      await engine.sessions.delete(ada, { sessionId: 's' })
      expect([await keys(), await filesLeft(database)]).toEqual([[], noFiles])
    },
  )

  it('an upload that breaks off in its third part leaves nothing in the bucket', async () => {
    await using test = await open()
    calls.length = 0
    async function* broken() {
      yield* inPieces(pngOf(11_000_000))
      throw new Error('reset')
    }
    await expect(test.engine.attachments.upload(ada, { name: 'a.png', bytes: broken() })).rejects.toThrow('reset')
    expect(calls.slice(0, 4)).toEqual(['CreateMultipartUpload', 'UploadPart', 'UploadPart', 'AbortMultipartUpload'])
    expect([await keys(), await filesLeft(test.database)]).toEqual([[], noFiles])
  })

  it('with encryption the bucket holds no byte of the file in clear', async () => {
    await using held = await openTestKeys()
    await using test = await open({ keys: held.keys })
    const words = Buffer.from('The treasure is under the oak. '.repeat(10_000))
    const { id } = await upload(test.engine, words, { name: 'oak.txt' })
    expect((await readBack(test.engine, id)).equals(words)).toBe(true)
    const [key = ''] = await keys()
    const stored = createS3Store({ client, bucket }).read(key as never, { start: 0, end: 400_000 }, { signal })
    expect((await collect(stored)).includes('treasure')).toBe(false)
    await test.database.storage.attachmentRepository.sweep({ maxFiles: 1, signal })
  })

  it('a store that is away is UNAVAILABLE, and nothing is stored', async () => {
    const nowhere = new S3Client({
      endpoint: 'http://127.0.0.1:9',
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1,
    })
    await using test = await open(undefined, createS3Store({ client: nowhere, bucket }))
    await expect(upload(test.engine, pngOf())).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(await filesLeft(test.database)).toMatchObject({ attachments: 0 })
    nowhere.destroy()
  })
})
