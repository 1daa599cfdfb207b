/** Runs beside the page: a part of an answer that is long and cannot be cut takes as long to parse as many keys to press. */
import remarkParse from 'remark-parse'
import remarkRehype from 'remark-rehype'
import { unified } from 'unified'
import { visit } from 'unist-util-visit'
import { toDollarMath } from '../math/dollar-math.ts'
import { remarkPlugins } from './remark-plugins.ts'

const processor = unified()
  .use(remarkParse)
  .use(remarkPlugins)
  .use(remarkRehype, { allowDangerousHtml: true }) // as text: what shows the tree runs no HTML
  .freeze()

globalThis.addEventListener('message', ({ data: { id, input } }: MessageEvent<{ id: number; input: string }>) => {
  const markdown = toDollarMath(input)
  const tree = processor.runSync(processor.parse(markdown))
  // The page has no use for where things stood, and it is half of what is sent.
  visit(tree, (node) => void delete node.position)
  globalThis.postMessage({ id, output: tree })
})
