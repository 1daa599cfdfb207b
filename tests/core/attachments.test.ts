/** Attachments: bytes beside the documents, whole or not at all, their owner's alone, and gone with what named them. */
import { attachmentIdsOf, VerbatimError } from '@verbatim/core'
import type { Agent, Engine } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import { createHash } from 'node:crypto'
import { GridFSBucket } from 'mongodb'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { dbOf, receiptsOf } from '../support/deleted.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import {
  collect,
  filesLeft,
  imageOf,
  inPieces,
  noFiles,
  pdfBomb,
  pdfOf,
  pngOf,
  readBack,
  sweepUnused,
  upload,
} from '../support/files.ts'
import { ada, eve, followAll, waitOptions } from '../support/follow.ts'
import { openTestKeys } from '../support/keys.ts'
import { eraseNow, exportOf, leftOf, linesOf } from '../support/principals.ts'

const agents = [pacedAgent(answerOf(['Well']))]
const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const signal = AbortSignal.timeout(600_000)

describe('an upload', () => {
  it('comes back byte for byte, with its hash, and with the type that its bytes tell', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const bytes = pngOf(3 * 1024 * 1024 + 17)
    const attachment = await upload(engine, bytes, { name: 'not-a-text.txt' })
    expect(attachment).toMatchObject({
      name: 'not-a-text.txt',
      mediaType: 'image/png',
      sizeBytes: bytes.length,
      pages: null,
    })
    expect(attachment.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
    expect((await readBack(engine, attachment.id)).equals(bytes)).toBe(true)
    const [document] = await dbOf(database).collection('attachments').find().toArray()
    const bucket = new GridFSBucket(dbOf(database), { bucketName: 'attachment_bytes' })
    expect((await collect(bucket.openDownloadStream(document?.['bytes']))).equals(bytes)).toBe(true)
  })

  it.each([
    [0, 1],
    [261_119, 261_121],
    [1_000_000, 1_048_577],
    [0, 1_048_577],
    [1_048_576, 1_048_577],
  ])('is read in part, from byte %i up to byte %i', async (start, end) => {
    await using test = await openOne({ agents, options: still })
    const bytes = pngOf(1_048_577)
    const { id } = await upload(test.engine, bytes)
    const file = await test.engine.attachments.open(ada, id)
    expect((await collect(file.read({ range: { start, end }, signal }))).equals(bytes.subarray(start, end))).toBe(true)
  })

  it.each([
    [
      'of a type that the server does not take',
      () => Buffer.from('MZ\u0090\0\u0003\0\0\0\u0004\0\0\0', 'latin1'),
      'type',
    ],
    ['of no type at all', () => Buffer.from([1, 2, 3, 4, 5, 250]), 'type'],
    [
      'that begins as text and goes on as no text',
      () => Buffer.concat([Buffer.alloc(9_000, 'a'), Buffer.from([0xff])]),
      'type',
    ],
    ['that is empty', () => Buffer.alloc(0), 'empty'],
    ['that is a PDF which inflates without end', pdfBomb, 'unreadable'],
  ])('a file %s is refused, and nothing of it is stored', async (_what, make, kind) => {
    await using test = await openOne({ agents, options: still })
    await expect(upload(test.engine, make())).rejects.toMatchObject({ code: 'ATTACHMENT_REFUSED', data: { kind } })
    expect(await filesLeft(test.database)).toEqual(noFiles)
  })

  it('a file that is too large is refused before it is read when its size is known, and where it passes the bound otherwise', async () => {
    await using test = await openOne({ agents, options: { ...still, attachments: { maxBytes: 300_000 } } })
    const { engine, database } = test
    let read = 0
    async function* counted() {
      for await (const piece of inPieces(pngOf(900_000))) {
        read += piece.byteLength
        yield piece
      }
    }
    const tooLarge = { code: 'PAYLOAD_TOO_LARGE', data: { maxBytes: 300_000 } }
    const input = { name: 'large.png', bytes: counted() }
    await expect(engine.attachments.upload(ada, { ...input, sizeBytes: 900_000 })).rejects.toMatchObject(tooLarge)
    expect(read).toBe(0)
    await expect(engine.attachments.upload(ada, input)).rejects.toMatchObject(tooLarge)
    expect(read).toBeLessThan(450_000)
    expect(await filesLeft(database)).toEqual(noFiles)
  })

  it.each([
    [
      'ends early',
      async function* () {
        yield pngOf(500_000)
      },
      600_000,
    ],
    [
      'breaks off',
      async function* () {
        yield pngOf(500_000)
        throw new Error('reset')
      },
      500_000,
    ],
  ])('a file whose sender %s leaves nothing', async (how, bytes, sizeBytes) => {
    await using test = await openOne({ agents, options: still })
    await expect(test.engine.attachments.upload(ada, { name: 'cut.png', bytes: bytes(), sizeBytes })).rejects.toThrow(
      how === 'breaks off' ? 'reset' : 'another length',
    )
    expect(await filesLeft(test.database)).toEqual(noFiles)
  })

  it('the same id with the same file is the same attachment, and with another file a typed error', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const bytes = pngOf(400_000)
    const id = crypto.randomUUID()
    const first = await upload(engine, bytes, { id })
    expect(await upload(engine, bytes, { id })).toEqual(first)
    await expect(upload(engine, pngOf(400_001), { id })).rejects.toMatchObject({ code: 'ATTACHMENT_ID_REUSED' })
    expect(await filesLeft(database)).toEqual({
      ...noFiles,
      attachments: 1,
      'attachment_bytes.files': 1,
      'attachment_bytes.chunks': 2,
    })
    expect((await readBack(engine, id)).equals(bytes)).toBe(true)
  })

  it('counts the pages of a PDF, in clear or compressed, and says null for one that it cannot read', async () => {
    await using test = await openOne({ agents, options: still })
    const pagesOf = async (bytes: Buffer) => (await upload(test.engine, bytes, { name: 'a.pdf' })).pages
    expect(await pagesOf(pdfOf({ pages: 3 }))).toBe(3)
    expect(await pagesOf(pdfOf({ pages: 2_000 }))).toBe(2_000)
    expect(await pagesOf(pdfOf({ pages: 17, isCompressed: true }))).toBe(17)
    expect(await pagesOf(pdfOf({ pages: 5, isEncrypted: true }))).toBeNull()
    expect(await pagesOf(Buffer.from('%PDF-1.4\nno pages here'))).toBeNull()
  })

  it('the quota of a principal is exact, whatever is sent at once', async () => {
    const limits = { principal: { attachmentBytes: 1_000_000 } }
    await using test = await openOne({ agents, options: { ...still, limits } })
    const { engine, database } = test
    const sent = Array.from({ length: 6 }, () => upload(engine, pngOf(300_000)))
    const outcomes = await Promise.allSettled(sent)
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
    const refusals = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []))
    const refused = expect.objectContaining({
      code: 'RATE_LIMITED',
      data: expect.objectContaining({ kind: 'principal_attachment_bytes' }),
    })
    expect(refusals).toEqual([refused, refused, refused])
    await upload(engine, pngOf(300_000), { owner: eve })
    expect(await filesLeft(database)).toMatchObject({ attachments: 4, loose_bytes: 0, 'attachment_bytes.files': 4 })
  })
})

describe('whose an attachment is', () => {
  it('another principal finds no attachment under the same id, may use the id, and the audit takes the attempt down', async () => {
    await using test = await openOne({ agents, options: { ...still, auditStoreMs: 20 } })
    const { engine, database } = test
    const { id } = await upload(engine, pngOf())
    await expect(readBack(engine, id, { owner: eve })).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    const append = engine.messages.append(eve, { sessionId: 's', role: 'user', content: [imageOf(id)] })
    await expect(append).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    await expect(engine.sessions.get(eve, 's')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    await vi.waitFor(async () => {
      expect(await receiptsOf(database)).toContainEqual(expect.objectContaining({ action: 'foreign_id', actor: 'eve' }))
    }, waitOptions)
    const own = await upload(engine, pngOf(100_000), { owner: eve, id })
    expect(own.id).toBe(id)
    expect((await readBack(engine, id)).length).toBeLessThan(100_000)
  })
})

describe('the life of an attachment', () => {
  it('one that no message names goes after its time, and one that a message names stays', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const used = await upload(engine, pngOf(600_000))
    await upload(engine, pngOf(600_000))
    await engine.messages.append(ada, { sessionId: 's', role: 'user', content: [imageOf(used.id)] })
    await sweepUnused(database)
    expect(await filesLeft(database)).toMatchObject({ attachments: 1, loose_bytes: 0, 'attachment_bytes.files': 1 })
    expect((await readBack(engine, used.id)).length).toBe(600_000)
    expect(await receiptsOf(database)).toMatchObject([
      { action: 'attachments_removed', counts: { attachments: 1, bytes: 600_000 } },
    ])
  })

  it('goes with the last session whose messages name it', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const shared = await upload(engine, pngOf(300_000))
    const alone = await upload(engine, pngOf(300_000))
    const say = async (sessionId: string, ids: string[]) =>
      await engine.messages.append(ada, { sessionId, role: 'user', content: ids.map(imageOf) })
    await say('first', [shared.id, alone.id])
    await say('first', [shared.id])
    await say('second', [shared.id])
    await engine.sessions.delete(ada, { sessionId: 'first' })
    await expect(readBack(engine, alone.id)).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    expect((await readBack(engine, shared.id)).length).toBe(300_000)
    await engine.sessions.delete(ada, { sessionId: 'second' })
    expect(await filesLeft(database)).toEqual(noFiles)
  })

  it('an append is bound by its own transaction: a refused one stores nothing, and a repeated one is the same message', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const { id } = await upload(engine, pngOf())
    const missing = crypto.randomUUID()
    const message = { sessionId: 's', role: 'user', messageId: crypto.randomUUID() } as const
    const both = engine.messages.append(ada, { ...message, content: [imageOf(id), imageOf(missing)] })
    await expect(both).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    expect(await dbOf(database).collection('messages').countDocuments()).toBe(0)
    const first = await engine.messages.append(ada, { ...message, content: [imageOf(id)] })
    expect(await engine.messages.append(ada, { ...message, content: [imageOf(id)] })).toEqual(first)
    await sweepUnused(database)
    expect(await filesLeft(database)).toMatchObject({ attachments: 1 })
  })

  it('a message and a sweep that meet over an attachment agree: either the message is stored and the file stays, or neither', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    for (let round = 0; round < 20; round++) {
      const { id } = await upload(engine, pngOf())
      const append = engine.messages.append(ada, { sessionId: `s-${round}`, role: 'user', content: [imageOf(id)] })
      const [said] = await Promise.allSettled([append, sweepUnused(database)])
      const found = await readBack(engine, id).then(
        () => true,
        () => false,
      )
      expect(found).toBe(said.status === 'fulfilled')
    }
  })

  it('an upload that was lost with its process is removed after a day', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents, options: still })
    const store = dbOf(database).collection<{ _id: string }>('loose_bytes')
    const { id } = await upload(engine, pngOf(300_000))
    const [document] = await dbOf(database).collection('attachments').find({ id }).toArray()
    // As its crash leaves it: the bytes are there, and the document that would make them an attachment is not.
    await dbOf(database).collection('attachments').deleteOne({ id })
    await store.insertOne({ _id: String(document?.['bytes']), sweepAt: new Date() } as never)
    await sweepUnused(database)
    expect(await filesLeft(database)).toEqual(noFiles)
  })
})

describe('a prompt with attachments', () => {
  const prompted = (sessionId: string, ids: readonly string[], runId: string = crypto.randomUUID()) => {
    const message = [{ type: 'text' as const, text: 'What is this?' }, ...ids.map(imageOf)]
    return { sessionId, runId, message }
  }

  it('reaches the agent with the way to the bytes, and the same start again is the same run', async () => {
    const seen: unknown[] = []
    const reading: Agent = {
      id: 'reading',
      async *stream({ attachments, messages }) {
        const [id = ''] = attachmentIdsOf(messages.at(-1)?.content ?? [])
        const [file] = (await attachments?.find([id], { signal })) ?? []
        const bytes = await attachments?.read(id, { signal })
        seen.push(file?.mediaType, bytes && Buffer.from(bytes))
        yield* answerOf(['A picture'])
      },
    }
    await using test = await openOne({ agents: [reading], options: still })
    const { engine, database } = test
    const bytes = pngOf(700_001)
    const { id } = await upload(engine, bytes)
    const input = prompted('s', [id])
    const run = await engine.runs.start(ada, input)
    await followAll(engine, run.id)
    expect((await engine.runs.start(ada, input)).id).toBe(run.id)
    expect(seen).toEqual(['image/png', bytes])
    await sweepUnused(database)
    expect((await readBack(engine, id)).equals(bytes)).toBe(true)
  })

  it.each([
    ['an unknown attachment', async () => crypto.randomUUID()],
    [
      'an attachment of another principal',
      async (engine: Engine) => (await upload(engine, pngOf(), { owner: eve })).id,
    ],
  ])('a start that names %s is refused and stores nothing, and its run id is free', async (_what, make) => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const own = await upload(engine, pngOf())
    const input = prompted('s', [own.id, await make(engine)])
    await expect(engine.runs.start(ada, input)).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    for (const name of ['sessions', 'messages', 'runs', 'run_events']) {
      expect(await dbOf(database).collection(name).countDocuments()).toBe(0)
    }
    const run = await engine.runs.start(ada, prompted('s', [own.id], input.runId))
    expect(run.id).toBe(input.runId)
  })

  it('the transaction itself refuses an attachment that is gone by then', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const { id } = await upload(engine, pngOf())
    const find = database.storage.attachmentRepository.find.bind(database.storage.attachmentRepository)
    const racing = openEngine(database, {
      agents,
      options: still,
      wrap: ({ attachmentRepository }) => ({
        attachmentRepository: {
          ...attachmentRepository,
          async find(owner, ids) {
            const found = await find(owner, ids)
            await dbOf(database)
              .collection('attachments')
              .updateMany({}, { $set: { sweepAt: new Date(0) } })
            await attachmentRepository.sweep({ maxFiles: 100, signal })
            return found
          },
        },
      }),
    })
    await expect(racing.runs.start(ada, prompted('s', [id]))).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
    expect(await dbOf(database).collection('runs').countDocuments()).toBe(0)
    await racing.close()
  })

  it('a file that the agent cannot use is refused before the prompt is stored', async () => {
    const choosy: Agent = {
      ...pacedAgent(answerOf(['Well'])),
      refusalOf: (files) =>
        files.some(({ sizeBytes }) => sizeBytes > 100_000)
          ? new VerbatimError('ATTACHMENT_REFUSED', 'Too large', { data: { kind: 'size' } })
          : undefined,
    }
    await using test = await openOne({ agents: [choosy], options: still })
    const { engine } = test
    const { id } = await upload(engine, pngOf(100_001))
    const refused = { code: 'ATTACHMENT_REFUSED', data: { kind: 'size' } }
    await expect(engine.runs.start(ada, prompted('s', [id]))).rejects.toMatchObject(refused)
    await expect(engine.sessions.get(ada, 's')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    await engine.runs.start(ada, prompted('s', [(await upload(engine, pngOf())).id]))
  })

  it('a prompt that waits keeps its files; cancelled in the queue it gives them up, and promoted it has them as a message', async () => {
    const gate = createGate()
    const slow = pacedAgent(answerOf(['Well']), { pause: async () => await gate.pass() })
    await using test = await openOne({ agents: [slow], options: still })
    const { engine, database } = test
    const sweep = async () => await sweepUnused(database)
    const [first, second] = [await upload(engine, pngOf(300_000)), await upload(engine, pngOf(300_000))]
    await engine.runs.start(ada, { sessionId: 's', runId: crypto.randomUUID(), message: 'Wait' })
    const asked = { ...prompted('s', [first.id]), whenBusy: 'queue' } as const
    const dropped = { ...prompted('s', [second.id]), whenBusy: 'queue' } as const
    await engine.runs.start(ada, asked)
    await engine.runs.start(ada, dropped)
    await sweep()
    expect(await filesLeft(database)).toMatchObject({ attachments: 2 })
    await engine.runs.cancel(ada, dropped.runId)
    await sweep()
    expect(await filesLeft(database)).toMatchObject({ attachments: 1 })
    gate.open()
    await followAll(engine, asked.runId)
    await dbOf(database)
      .collection('attachments')
      .updateMany({}, { $set: { sweepAt: new Date(0) } })
    await sweep()
    expect((await readBack(engine, first.id)).length).toBe(300_000)
    await engine.sessions.delete(ada, { sessionId: 's' })
    expect(await filesLeft(database)).toEqual(noFiles)
  })

  it('goes when the retention of its message is over', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const { id } = await upload(engine, pngOf())
    await followAll(engine, (await engine.runs.start(ada, prompted('s', [id]))).id)
    await followAll(engine, (await engine.runs.start(ada, prompted('s', []))).id)
    const old = { $set: { createdAt: new Date(0) } }
    await dbOf(database)
      .collection('messages')
      .updateMany({ seq: { $lte: 2 } }, old)
    await database.storage.deletionRepository.expireMessages({ before: new Date(1), signal })
    await sweepUnused(database)
    expect(await filesLeft(database)).toEqual(noFiles)
  })
})

describe('all of one principal', () => {
  it('an export names every attachment, and an erasure leaves none of them and no byte', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const used = await upload(engine, pngOf(300_000), { name: 'oak-tree.png' })
    const unused = await upload(engine, pngOf(300_000), { name: 'oak-tree.png' })
    const other = await upload(engine, pngOf(300_000), { owner: eve })
    await engine.messages.append(ada, { sessionId: 's', role: 'user', content: [imageOf(used.id)] })
    const lines = linesOf(await exportOf(engine, ada), 'attachment').map(({ attachment }) => attachment)
    expect(lines.toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))).toEqual([used, unused])
    const erasure = await eraseNow(database.storage.principalRepository, ada)
    expect(erasure.counts).toMatchObject({ sessions: 1, messages: 1, attachments: 1 })
    expect(await leftOf(database, ['oak-tree', used.id, unused.id])).toEqual([])
    expect(await filesLeft(database)).toMatchObject({ attachments: 1, loose_bytes: 0, 'attachment_bytes.files': 1 })
    expect((await readBack(engine, other.id, { owner: eve })).length).toBe(300_000)
  })

  it('an upload that an erasure overtakes becomes no attachment, and leaves nothing', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    async function* overtaken() {
      yield* inPieces(pngOf(1_500_000))
      await eraseNow(database.storage.principalRepository, ada)
    }
    const uploading = engine.attachments.upload(ada, { name: 'late.png', bytes: overtaken() })
    await expect(uploading).rejects.toMatchObject({ code: 'PRINCIPAL_ERASING' })
    expect(await filesLeft(database)).toEqual(noFiles)
  })
})

describe('with encryption', () => {
  it('no byte, name or hash of a file is in the database, and ranges read as before', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    await using engine = openEngine(database, { agents, options: still })
    const words = Buffer.from('The treasure is under the oak. '.repeat(40_000))
    const attachment = await upload(engine, words, { name: 'oak-tree.txt' })
    expect(attachment).toMatchObject({ name: 'oak-tree.txt', mediaType: 'text/plain', sizeBytes: words.length })
    expect((await readBack(engine, attachment.id)).equals(words)).toBe(true)
    const file = await engine.attachments.open(ada, attachment.id)
    const range = { start: 65_530, end: 200_001 }
    expect((await collect(file.read({ range, signal }))).equals(words.subarray(range.start, range.end))).toBe(true)
    expect(await leftOf(database, ['oak-tree', attachment.sha256])).toEqual([])
    for (const chunk of await dbOf(database).collection('attachment_bytes.chunks').find().toArray()) {
      expect(Buffer.from(chunk['data'].value()).includes('treasure')).toBe(false)
    }
  })
})
