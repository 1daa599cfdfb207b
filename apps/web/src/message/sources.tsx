import { citationsOf, indexOfSource } from '@verbatim/client'
import type { Source } from '@verbatim/client'
import type { TextBlock } from './chat-message.ts'

/** The numbers of what a text cites, each a link to its source. */
export function Citations({ block, sources }: { readonly block: TextBlock; readonly sources: readonly Source[] }) {
  const cited = citationsOf(block)
  if (cited.length === 0) return null
  const numbers = [...new Set(cited.map((citation) => indexOfSource(sources, citation)))].filter((at) => at !== -1)
  return (
    <p className="citations">
      <span className="visually-hidden">Cited: </span>
      {numbers.map((at) => {
        const { url = null, title = '' } = sources[at] ?? {}
        const passage = cited.find((citation) => indexOfSource(sources, citation) === at)?.citedText ?? ''
        const label = `Source ${at + 1}: ${title}`
        return url === null ? (
          <span key={at} className="citation" title={passage || title} aria-label={label} role="note">
            {at + 1}
          </span>
        ) : (
          <a
            key={at}
            className="citation"
            data-testid="citation"
            href={url}
            title={passage || title}
            aria-label={label}
            target="_blank"
            rel="noopener noreferrer"
          >
            {at + 1}
          </a>
        )
      })}
    </p>
  )
}

/** Sources that are listed without being asked for; the rest is folded away. */
const maxShown = 5

/** Where an answer has its facts from. */
export function Sources({ sources }: { readonly sources: readonly Source[] }) {
  if (sources.length === 0) return null
  return (
    <section className="sources" data-testid="sources" aria-label="Sources">
      <p className="sources-title">Sources</p>
      <SourceList sources={sources.slice(0, maxShown)} start={1} />
      {sources.length > maxShown && (
        <details className="fold">
          <summary>{sources.length - maxShown} more</summary>
          <SourceList sources={sources.slice(maxShown)} start={maxShown + 1} />
        </details>
      )}
    </section>
  )
}

function SourceList({ sources, start }: { readonly sources: readonly Source[]; readonly start: number }) {
  return (
    <ol start={start}>
      {sources.map(({ url, title }, at) => (
        <li key={at}>
          {url === null ? (
            title
          ) : (
            <a href={url} target="_blank" rel="noopener noreferrer">
              {title}
            </a>
          )}
          {url !== null && <span className="source-host"> {new URL(url).host}</span>}
        </li>
      ))}
    </ol>
  )
}
