import { lazy, Suspense } from 'react'
import { warmUp } from './parse/warm-up.ts'
import { PlainText } from './plain-text.tsx'

/** Nothing needs the parser before the first answer, so the page is there without it. */
const MarkdownView = lazy(async () => {
  try {
    return { default: (await import('./markdown-view.tsx')).MarkdownView }
  } catch {
    return { default: WithoutMarks } // the network is away, or the server has a newer page: the words are readable without marks
  }
})

/** Loads the parser before an answer needs it: at once for a page that shows a session, otherwise when the browser has time. */
export function preloadMarkdown({ isNeeded }: { isNeeded: boolean }): void {
  const load = async () => {
    try {
      const { parse } = await import('./markdown-view.tsx')
      if (!isNeeded) warmUp(parse, whenIdle)
    } catch {
      // as above
    }
  }
  if (isNeeded) void load()
  else whenIdle(() => void load())
}

function whenIdle(action: () => void): void {
  // Safari has no idle callbacks.
  if ('requestIdleCallback' in globalThis) requestIdleCallback(action)
  else setTimeout(action, 500)
}

interface MarkdownProps {
  readonly source: string
  /** True while more of it may come. */
  readonly isGrowing: boolean
}

/** An answer's text, with its marks as soon as their parser is here. */
export function Markdown(props: MarkdownProps) {
  return (
    <Suspense fallback={<WithoutMarks {...props} />}>
      <MarkdownView {...props} />
    </Suspense>
  )
}

function WithoutMarks({ source }: MarkdownProps) {
  return (
    <div className="markdown waits-for-marks" dir="auto">
      <PlainText source={source} />
    </div>
  )
}
