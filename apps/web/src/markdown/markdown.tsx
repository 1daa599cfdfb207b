import { lazy, Suspense } from 'react'

/** Nothing needs the parser before the first answer, so the page is there without it. */
const MarkdownView = lazy(async () => {
  try {
    return { default: (await import('./markdown-view.tsx')).MarkdownView }
  } catch {
    return { default: PlainText } // the network is away, or the server has a newer page: the words are readable without marks
  }
})

/** Loads the parser before an answer needs it: at once for a page that shows a session, otherwise when the browser has time. */
export function preloadMarkdown({ isNeeded }: { isNeeded: boolean }): void {
  const load = () => void import('./markdown-view.tsx').catch(() => {}) // as above
  if (isNeeded) load()
  // Safari has no idle callbacks.
  else if ('requestIdleCallback' in globalThis) requestIdleCallback(load)
  else setTimeout(load, 500)
}

/** An answer's text, with its marks as soon as their parser is here. */
export function Markdown({ source }: { source: string }) {
  return (
    <Suspense fallback={<PlainText source={source} />}>
      <MarkdownView source={source} />
    </Suspense>
  )
}

function PlainText({ source }: { source: string }) {
  return (
    <div className="markdown" dir="auto">
      <p className="plain-text">{source}</p>
    </div>
  )
}
