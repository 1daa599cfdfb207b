/** Loaded with the first formula. As MathML, which browsers draw and screen readers read: no fonts and no styles come with it. */
import katex from 'katex'

/** The formula as HTML, in which everything that the model wrote is escaped; undefined for a faulty one, as each is until it is whole. */
export function renderMath(tex: string, { isBlock }: { isBlock: boolean }): string | undefined {
  try {
    return katex.renderToString(tex, {
      displayMode: isBlock,
      output: 'mathml',
      strict: 'ignore',
      trust: false,
      maxSize: 20,
    })
  } catch {
    return undefined
  }
}
