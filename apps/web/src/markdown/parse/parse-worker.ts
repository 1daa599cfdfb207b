/** Runs beside the page: a part of an answer that is long and cannot be cut takes as long to parse as many keys to press. */
import { visit } from 'unist-util-visit'
import { createParser } from './create-parser.ts'

const parse = createParser()

globalThis.addEventListener('message', ({ data: { id, input } }: MessageEvent<{ id: number; input: string }>) => {
  const tree = parse(input)
  // The page has no use for where things stood, and it is half of what is sent.
  visit(tree, (node) => void delete node.position)
  globalThis.postMessage({ id, output: tree })
})
