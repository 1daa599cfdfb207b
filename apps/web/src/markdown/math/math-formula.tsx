import { useEffect, useMemo, useState } from 'react'
import { maxFormula } from '../layout/lay-out-part.ts'
import { Lines } from '../lines.tsx'
import { loadedRenderer, waitForRenderer } from './renderer.ts'

/** A formula; its source while the renderer is on its way, and of one that is too long to be drawn. */
export function MathFormula({ tex, isBlock }: { tex: string; isBlock: boolean }) {
  const [render, setRender] = useState(loadedRenderer)
  const isDrawn = tex.length <= maxFormula
  const mustWait = isDrawn && render === undefined
  useEffect(() => (mustWait ? waitForRenderer((loaded) => setRender(() => loaded)) : undefined), [mustWait])
  const html = useMemo(() => (isDrawn ? render?.(tex, { isBlock }) : undefined), [render, tex, isBlock, isDrawn])
  const name = isBlock ? 'math math-block' : 'math'
  // It is made of the renderer's own elements and escaped text.
  if (html === undefined) return <span className={name}>{isBlock ? <Lines text={tex} /> : tex}</span>
  return <span className={name} data-testid="math" dangerouslySetInnerHTML={{ __html: html }} />
}
