import { useEffect, useMemo, useState } from 'react'
import { Lines } from '../lines.tsx'
import type { renderMath } from './render-math.ts'

/** The renderer as soon as it is here: later formulas are drawn with their text, not after it. */
let loaded: typeof renderMath | undefined

/** A formula over so many characters is shown as it was written: no page shows it whole, and to draw it takes seconds. */
const maxLength = 4_000

/** A formula; its source while the renderer is on its way. */
export function MathFormula({ tex, isBlock }: { tex: string; isBlock: boolean }) {
  const [render, setRender] = useState(() => loaded)
  useEffect(() => {
    if (render !== undefined || tex.length > maxLength) return
    void import('./render-math.ts').then(
      (module) => {
        loaded = module.renderMath
        setRender(() => loaded)
      },
      () => {}, // the network is away: the source says the same
    )
  }, [render, tex])
  const html = useMemo(() => (tex.length > maxLength ? undefined : render?.(tex, { isBlock })), [render, tex, isBlock])
  const name = isBlock ? 'math math-block' : 'math'
  // It is made of the renderer's own elements and escaped text.
  if (html === undefined) return <span className={name}>{isBlock ? <Lines text={tex} /> : tex}</span>
  return <span className={name} data-testid="math" dangerouslySetInnerHTML={{ __html: html }} />
}
