/** Data that an agent emits, as a chat and a handle show it: against the real API, the real engine and a real MongoDB. */
import { SessionTitle, textOf } from '@verbatim/core'
import { createGate, openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'
import { chatStore } from './stores/chat-store.ts'
import { connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

/** Says what it was given, and emits its progress; waits at the gate after each. */
async function openWorker() {
  const gate = createGate()
  const scripted = scriptedAgent(async function* ({ emit, input }) {
    for (let done = 1; done <= 2; done++) {
      await emit('progress', { done, total: 2 }, { id: 'work' })
      yield gate
    }
    yield `made ${JSON.stringify(input)}`
  })
  const agent = { ...scripted, input: SessionTitle }
  const test = await openTestEngine({ uri: inject('mongoUri'), agents: [agent] })
  const site = await serveEngine(test.engine)
  return {
    gate,
    client: connect(site),
    other: connect(site),
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await test[Symbol.asyncDispose]()
    },
  }
}

it('a chat shows the newest progress while the answer is made, to a page that joins too, and keeps it with the message', async () => {
  await using worker = await openWorker()
  const [store, joined] = [chatStore(worker.client, 's'), chatStore(worker.other, 's')]
  const newest = (chat: typeof store) => chat.getSnapshot().messages.at(-1)
  const progress = (done: number) => [{ name: 'progress', id: 'work', data: { done, total: 2 } }]
  store.subscribe(() => {})
  expect(await store.send('Work', { input: 'red' })).toBe(true)
  await expect.poll(() => newest(store)).toMatchObject({ status: 'streaming', content: [], data: progress(1) })
  joined.subscribe(() => {})
  worker.gate.release()
  for (const chat of [store, joined]) {
    await expect.poll(() => newest(chat)).toMatchObject({ status: 'streaming', data: progress(2) })
  }
  worker.gate.release()
  for (const chat of [store, joined]) {
    await expect.poll(() => newest(chat)?.createdAt).toEqual(expect.any(String))
    expect(newest(chat)).toMatchObject({ status: 'completed', data: progress(2) })
    expect(textOf(newest(chat)?.content ?? [])).toBe('made "red"')
  }
  expect(store.getSnapshot().messages[0]?.data).toEqual([])
  worker.gate.open()
  expect(await store.regenerate()).toBe(true)
  await expect.poll(() => newest(store)).toMatchObject({ status: 'completed', retryOf: expect.any(String) })
  expect(textOf(newest(store)?.content ?? [])).toBe('made "red"')
})

it('a handle gives the input with the prompt, and rejects with the place that does not fit', async () => {
  await using worker = await openWorker()
  worker.gate.open()
  const run = worker.client.chat('s').send('Work', { input: 'blue' })
  expect((await run.message).data).toEqual([{ name: 'progress', id: 'work', data: { done: 2, total: 2 } }])
  expect(run.answer.data).toEqual((await run.message).data)
  const misfit = worker.client.chat('s').send('Work', { input: 1 })
  await expect(misfit.started).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field: 'input' } })
  await expect(misfit.message).rejects.toMatchObject({ code: 'INVALID_INPUT' })
})
