/** Words as they were written, marks and all. */
export function PlainText({ source }: { source: string }) {
  return <p className="plain-text">{source}</p>
}
