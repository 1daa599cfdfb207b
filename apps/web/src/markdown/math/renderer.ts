/** The renderer of formulas: it comes with the first one, and draws those that have waited for it as many a frame as fit. */
import { flushSync } from 'react-dom'
import { afterPaint } from '../pace/after-paint.ts'
import { mathStep, nextStep } from '../pace/step-length.ts'
import type { renderMath } from './render-math.ts'

type Render = typeof renderMath

let loaded: Render | undefined
let isLoading = false
const waiting = new Set<(render: Render) => void>()

/** Undefined while it is on its way: a later formula is drawn with its text, not after it. */
export function loadedRenderer(): Render | undefined {
  return loaded
}

/** Calls `draw` when it is the formula's turn. Returns what calls it off. */
export function waitForRenderer(draw: (render: Render) => void): () => void {
  waiting.add(draw)
  void load()
  return () => void waiting.delete(draw)
}

async function load(): Promise<void> {
  if (isLoading) return
  isLoading = true
  try {
    const { renderMath } = await import('./render-math.ts')
    loaded = renderMath
    drawSome(renderMath, mathStep.least)
  } catch {
    // The network is away: the source says the same.
  } finally {
    isLoading = false
  }
}

function drawSome(render: Render, most: number): void {
  const some = [...waiting].slice(0, most)
  const began = performance.now()
  flushSync(() => {
    for (const draw of some) {
      waiting.delete(draw)
      draw(render)
    }
  })
  const renderMs = performance.now() - began
  if (waiting.size === 0) return
  afterPaint((paintMs) => {
    const step = { length: some.length, tookMs: Math.max(renderMs, paintMs) }
    drawSome(render, nextStep(most, step, mathStep))
  })
}
