import { Lines } from './lines.tsx'

/** Words as they were written, marks and all. */
export function PlainText({ source }: { source: string }) {
  return (
    <p className="plain-text">
      <Lines text={source} />
    </p>
  )
}
