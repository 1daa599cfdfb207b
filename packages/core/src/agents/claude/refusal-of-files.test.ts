import { expect, it } from 'vitest'
import type { AttachedFile } from '../../ports/agent.ts'
import { refusalOfFiles } from './refusal-of-files.ts'

const megabyte = 1_000_000

function file(mediaType: string, sizeBytes: number, pages: number | null = null): AttachedFile {
  return { id: crypto.randomUUID(), mediaType, sizeBytes, pages }
}

it.each([
  ['an image of 4 MB', [file('image/png', 4 * megabyte)], undefined],
  ['an image of 8 MB', [file('image/png', 8 * megabyte)], 'size'],
  ['a film', [file('video/mp4', 1)], 'type'],
  ['a text', [file('text/plain', megabyte)], undefined],
  ['a paper of 100 pages', [file('application/pdf', megabyte, 100)], undefined],
  ['two papers of 51 pages', [file('application/pdf', 1, 51), file('application/pdf', 1, 51)], 'pages'],
  ['a paper whose pages cannot be read', [file('application/pdf', megabyte, null)], 'unreadable'],
  ['five images of 4 MB', Array.from({ length: 5 }, () => file('image/png', 4 * megabyte)), 'size'],
])('%s is taken or refused as the API would', (_what, files, kind) => {
  expect(refusalOfFiles(files, 200_000)?.data.kind).toBe(kind)
})

it('a model with a window of a million tokens reads 600 pages', () => {
  expect(refusalOfFiles([file('application/pdf', 1, 600)], 1_000_000)).toBeUndefined()
  expect(refusalOfFiles([file('application/pdf', 1, 601)], 1_000_000)?.data.kind).toBe('pages')
})
