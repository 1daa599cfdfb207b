/** Loaded with the first formula. As MathML, which browsers draw and screen readers read: no fonts and no styles come with it. */
import katex from 'katex'

/** The formula as HTML, in which everything that the model wrote is escaped. A faulty formula is shown as it was written. */
export function renderMath(tex: string, { isBlock }: { isBlock: boolean }): string {
  return katex.renderToString(tex, {
    displayMode: isBlock,
    output: 'mathml',
    throwOnError: false,
    strict: 'ignore',
    trust: false,
    maxSize: 20,
  })
}
