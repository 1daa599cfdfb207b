/** Files through the client, against the real API, the real engine and a real MongoDB. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { openAsBlob } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { attachmentIdsOf } from '@verbatim/core'
import { openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'
import { connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const agents = [scriptedAgent(['A picture.'])]
const options = { pollMs: 100 }
const pngHead = Buffer.from(
  '89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478',
  'hex',
)
const picture = new Uint8Array(Buffer.concat([pngHead, Buffer.alloc(1_500_000, 'x')]))

it('a file is uploaded with progress, named by a prompt, and downloaded as it was', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options })
  await using site = await serveEngine(test.engine)
  const client = connect(site)
  const sent: number[] = []
  const file = new File([picture], 'tree.png')
  const attachment = await client.attachments.upload(file, { onProgress: ({ sentBytes }) => sent.push(sentBytes) })
  expect(attachment).toMatchObject({ name: 'tree.png', mediaType: 'image/png', sizeBytes: picture.length })
  expect(sent.at(-1)).toBe(picture.length)
  expect(sent.length).toBeGreaterThan(1)
  const image = { type: 'image', source: { type: 'attachment', attachment_id: attachment.id } } as const
  const run = client.chat('s').send([{ type: 'text', text: 'What is this?' }, image])
  await run.message
  const { items } = await client.messages.list('s')
  expect(attachmentIdsOf(items[0]?.content ?? [])).toEqual([attachment.id])
  const back = await client.attachments.download(attachment.id)
  expect([back.type, Buffer.from(await back.arrayBuffer()).equals(picture)]).toEqual(['image/png', true])
})

it('in Node a file of a path is streamed from the disk', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options })
  await using site = await serveEngine(test.engine)
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-'))
  await writeFile(join(folder, 'notes.txt'), 'Some notes. '.repeat(50_000))
  const file = await openAsBlob(join(folder, 'notes.txt'))
  const attachment = await connect(site).attachments.upload(file, { name: 'notes.txt' })
  expect(attachment).toMatchObject({ name: 'notes.txt', mediaType: 'text/plain', sizeBytes: 600_000 })
  await rm(folder, { recursive: true })
})

it('an upload whose answer is lost is repeated as the same attachment', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options })
  await using site = await serveEngine(test.engine)
  let calls = 0
  const client = connect(site, {
    async fetch(url, init) {
      const response = await fetch(url, init)
      if (++calls === 1) throw new TypeError('The connection was reset')
      return response
    },
  })
  const id = crypto.randomUUID()
  expect((await client.attachments.upload(new Blob([picture]), { id })).id).toBe(id)
  expect(calls).toBe(2)
  const { databaseName, client: mongo } = test.database
  expect(await mongo.db(databaseName).collection('attachments').countDocuments()).toBe(1)
})

it('a refused token is asked for once more, with the whole file again', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options })
  const authenticate = ({ headers }: { headers: Headers }) =>
    headers.get('authorization') === 'Bearer fresh' ? { userId: 'ada' } : null
  await using site = await serveEngine(test.engine, { authenticate })
  const client = connect(site, { token: ({ refresh }) => (refresh ? 'fresh' : 'stale') })
  const onProgress = () => {}
  expect(await client.attachments.upload(new Blob([picture]), { onProgress })).toMatchObject({
    sizeBytes: picture.length,
  })
})

it('what the server refuses is its typed error, and a signal ends an upload with its own reason', async () => {
  await using test = await openTestEngine({
    uri: inject('mongoUri'),
    agents,
    options: { ...options, attachments: { maxBytes: 1_000 } },
  })
  await using site = await serveEngine(test.engine)
  const client = connect(site)
  const file = new Blob([picture])
  await expect(client.attachments.upload(file)).rejects.toMatchObject({
    code: 'PAYLOAD_TOO_LARGE',
    data: { maxBytes: 1_000 },
  })
  await expect(client.attachments.upload(new Blob(['MZ\0']))).rejects.toMatchObject({ code: 'ATTACHMENT_REFUSED' })
  await expect(client.attachments.download(crypto.randomUUID())).rejects.toMatchObject({ code: 'ATTACHMENT_NOT_FOUND' })
  const reason = new Error('Enough')
  await expect(client.attachments.upload(file, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})
