/** Made once: to put a processor together takes as long as to parse a few lines. */
import type { Root } from 'hast'
import remarkParse from 'remark-parse'
import remarkRehype from 'remark-rehype'
import { unified } from 'unified'
import type { PluggableList } from 'unified'
import { toDollarMath } from '../math/dollar-math.ts'
import { remarkPlugins } from './remark-plugins.ts'

interface ParserPlugins {
  /** Change the tree of the Markdown. */
  readonly remark?: PluggableList
  /** Change the tree of elements. */
  readonly rehype?: PluggableList
}

/** @returns a function that reads Markdown as answers are written; it leaves HTML in the tree as it was written */
export function createParser({ remark = [], rehype = [] }: ParserPlugins = {}): (markdown: string) => Root {
  const processor = unified()
    .use(remarkParse)
    .use([...remarkPlugins, ...remark])
    .use(remarkRehype, { allowDangerousHtml: true }) // as text: what shows the tree runs no HTML
    .use(rehype)
    .freeze()
  return (markdown) => processor.runSync(processor.parse(toDollarMath(markdown)))
}
