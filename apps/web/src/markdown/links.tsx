import type { ComponentProps } from 'react'

/** Links lead out of the page, except those into the text itself, which must not change the address (it names the session). */
export function Anchor({ href = '', children, id }: ComponentProps<'a'>) {
  if (!href.startsWith('#')) {
    return (
      <a href={href} id={id} target="_blank" rel="noreferrer">
        {children}
      </a>
    )
  }
  return (
    <a
      href={href}
      id={id}
      onClick={(event) => {
        event.preventDefault()
        const text = event.currentTarget.closest('.markdown')
        text?.querySelector(`#${CSS.escape(href.slice(1))}`)?.scrollIntoView({ block: 'center' })
      }}
    >
      {children}
    </a>
  )
}

/** Not loaded by itself: an address that a model wrote can carry the conversation to another server. */
export function ImageLink({ src, alt }: ComponentProps<'img'>) {
  return <Anchor href={typeof src === 'string' ? src : ''}>{alt === undefined || alt === '' ? 'Image' : alt}</Anchor>
}
