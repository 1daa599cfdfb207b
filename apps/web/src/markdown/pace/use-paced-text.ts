import { useLayoutEffect, useRef, useState } from 'react'
import { flushSync } from 'react-dom'
import { afterPaint } from './after-paint.ts'
import { nextStep, textStep } from './step-length.ts'

/**
 * The beginning of `source` that is drawn now. A step is parsed in a task of its own, not in the frame that brought the text, and the
 * next one waits until it is painted. So a key waits for one parse or one paint, not for both. What comes at the pace of a model is one
 * step a frame; what comes faster takes more of them, also when the text is whole by then.
 */
export function usePacedText(source: string, isGrowing: boolean): string {
  // A text that is whole when the page meets it is drawn at once.
  const [drawn, setDrawn] = useState(isGrowing ? Math.min(textStep.least, source.length) : source.length)
  const [painted, setPainted] = useState(isGrowing ? 0 : source.length)
  const [most, setMost] = useState(textStep.least)
  const end = Math.min(source.length, drawn)
  const began = useRef(0)
  began.current = performance.now()

  useLayoutEffect(() => {
    if (painted === end) return
    const renderMs = performance.now() - began.current
    return afterPaint((paintMs) => {
      setPainted(end)
      const step = { length: end - painted, tookMs: Math.max(renderMs, paintMs) }
      setMost((before) => nextStep(before, step, textStep))
    })
  }, [end, painted])

  useLayoutEffect(() => {
    if (painted !== end || end === source.length) return
    // At once: React would draw it with the next update of the page, in that one's frame.
    const task = setTimeout(() => flushSync(() => setDrawn(Math.min(source.length, end + most))))
    return () => clearTimeout(task)
  }, [painted, end, source.length, most])

  return end === source.length ? source : source.slice(0, end)
}
