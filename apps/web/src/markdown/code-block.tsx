import { Children, isValidElement, useCallback, useRef } from 'react'
import type { ReactNode } from 'react'
import { CopyButton } from '../message/copy-button.tsx'

/** A block of code, with its language and a button that copies it. Long lines scroll, also by keyboard. */
export function CodeBlock({ children }: { children?: ReactNode }) {
  const code = useRef<HTMLPreElement>(null)
  const textOf = useCallback(() => code.current?.textContent ?? '', [])
  return (
    <figure className="code-block">
      <figcaption>
        <span>{languageOf(children)}</span>
        <CopyButton textOf={textOf} what="code" />
      </figcaption>
      {/* In the tab order, because what scrolls must be reachable by keyboard. */}
      <pre ref={code} tabIndex={0} dir="ltr">
        {children}
      </pre>
    </figure>
  )
}

function languageOf(children: ReactNode): string {
  const [code] = Children.toArray(children)
  const props: unknown = isValidElement(code) ? code.props : undefined
  const className = typeof props === 'object' && props !== null && 'className' in props ? String(props.className) : ''
  return /language-(\S+)/.exec(className)?.[1] ?? 'text'
}
