/** The renderer of formulas: it comes with the first one, and draws those that have waited for it a few a frame. */
import { afterPaint } from '../pace/after-paint.ts'
import type { renderMath } from './render-math.ts'

/** One takes a few milliseconds with its layout. */
const formulasPerFrame = 4

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
    drawSome(renderMath)
  } catch {
    // The network is away: the source says the same.
  } finally {
    isLoading = false
  }
}

function drawSome(render: Render): void {
  for (const draw of [...waiting].slice(0, formulasPerFrame)) {
    waiting.delete(draw)
    draw(render)
  }
  if (waiting.size > 0) afterPaint(() => drawSome(render))
}
