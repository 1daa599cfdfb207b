import { useEffect, useState } from 'react'

/** A formula; its source while the renderer is on its way. */
export function MathFormula({ tex, isBlock }: { tex: string; isBlock: boolean }) {
  const [drawn, setDrawn] = useState<{ readonly tex: string; readonly html: string } | null>(null)
  useEffect(() => {
    let isNewest = true
    void import('./render-math.ts').then(
      ({ renderMath }) => isNewest && setDrawn({ tex, html: renderMath(tex, { isBlock }) }),
      () => {}, // the network is away: the source says the same
    )
    return () => {
      isNewest = false
    }
  }, [tex, isBlock])
  const name = isBlock ? 'math math-block' : 'math'
  // While a formula grows, the last drawing stays; it is made of the renderer's own elements and escaped text.
  if (drawn === null) return <span className={name}>{tex}</span>
  return <span className={name} data-testid="math" dangerouslySetInnerHTML={{ __html: drawn.html }} />
}
