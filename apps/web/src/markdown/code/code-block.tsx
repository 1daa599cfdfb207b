import { useCallback, useRef } from 'react'
import { CopyButton } from '../../message/copy-button.tsx'
import { Lines } from '../lines.tsx'
import { useHighlight } from './use-highlight.ts'

/** A block of code, with its language and a button that copies it. Long lines scroll, also by keyboard. */
export function CodeBlock({ language, code }: { language: string; code: string }) {
  const block = useRef<HTMLPreElement>(null)
  const textOf = useCallback(() => block.current?.textContent ?? '', [])
  useHighlight(block, { language, code })
  return (
    <figure className="code-block" data-testid="code">
      <figcaption>
        <span>{language === '' ? 'text' : language}</span>
        <CopyButton textOf={textOf} what="code" />
      </figcaption>
      {/* In the tab order, because what scrolls must be reachable by keyboard. */}
      <pre ref={block} tabIndex={0} dir="ltr">
        <code>
          <Lines text={code} />
        </code>
      </pre>
    </figure>
  )
}
