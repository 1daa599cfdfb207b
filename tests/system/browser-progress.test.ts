/** The chat page shows what a tool emits while it runs: progress as a bar, anything else folded. */
import { tool } from '@verbatim/core/claude'
import { createGate } from '@verbatim/core/testing'
import { callEnd, callStart, saying, startProvider, streaming, toolBlock } from '@verbatim/test-kit/provider'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { openBrowserPageOf } from '../support/browser-page.ts'
import { claudeAt } from '../support/claude.ts'

it('The page shows the progress of a tool while it runs, the newest of an id only, and keeps it over a reload', async () => {
  const gate = createGate()
  const read = tool({
    name: 'read_files',
    description: 'Reads files',
    input: z.object({}),
    async run(_input, { emit, signal }) {
      await emit('files', { done: 1, total: 3, text: 'Reading files' }, { id: 'read' })
      await emit('files', { done: 2, total: 3, text: 'Reading files' }, { id: 'read' })
      await emit('found', { lines: 7 })
      await gate.pass(signal)
      await emit('files', { done: 3, total: 3, text: 'Reading files' }, { id: 'read' })
      return 'read'
    },
  })
  const call = [callStart(), ...toolBlock(0, { id: 'toolu_a', name: 'read_files' }), ...callEnd('tool_use')]
  await using provider = await startProvider(streaming(...call), saying('All three are read.'))
  await using opened = await openBrowserPageOf([claudeAt(provider.url, { tools: [read] })])
  const { page } = opened
  await page.goto(opened.url)
  await page.getByTestId('composer').fill('Read the files')
  await page.getByTestId('send').click()
  const progress = page.getByTestId('progress')
  await page.getByText('2 of 3').waitFor() // the tool still runs
  expect(await progress.allInnerTexts()).toHaveLength(1)
  expect(await page.getByTestId('data').innerText()).toContain('found')
  gate.open()
  await page.getByText('All three are read.').waitFor()
  await page.getByText('3 of 3').waitFor()
  await page.reload()
  await page.getByText('3 of 3').waitFor()
  expect(await progress.count()).toBe(1)
  expect(await page.getByTestId('data').count()).toBe(1)
}, 120_000)
