import { useLayoutEffect, useRef, useState } from 'react'
import { afterPaint } from './after-paint.ts'

/** How many characters the first step adds, and how few or many a later one. A word a frame is far below it. */
const step = { first: 1_000, least: 200, most: 4_000 }
/** What a step may take, its layout and paint with it, in milliseconds: a key that is pressed meanwhile waits as long. */
const budgetMs = 12

/**
 * The beginning of `source` that is drawn now. What comes at the pace of a model is drawn at once. Where more comes than a frame can
 * take, it is drawn in steps, with a paint and the user's keys between them, also when the text is whole by then.
 */
export function usePacedText(source: string, isGrowing: boolean): string {
  // A text that is whole when the page meets it is drawn at once.
  const [drawn, setDrawn] = useState(isGrowing ? 0 : source.length)
  const [length, setLength] = useState(step.first)
  const end = Math.min(source.length, drawn + length)
  const isBehind = end < source.length
  const began = useRef(0)
  began.current = performance.now()
  useLayoutEffect(() => {
    if (end === drawn) return
    const renderMs = performance.now() - began.current
    return afterPaint((paintMs) => {
      setDrawn(end)
      if (isBehind) setLength((before) => fittingLength(before, renderMs + paintMs))
    })
  }, [end, drawn, isBehind])
  return end === source.length ? source : source.slice(0, end)
}

/** So many characters as fit the budget, if they cost as much as those of the step before. */
function fittingLength(length: number, tookMs: number): number {
  const fitting = length * Math.min(1.5, Math.max(0.5, budgetMs / tookMs))
  return Math.round(Math.min(step.most, Math.max(step.least, fitting)))
}
