import type { ChatMessage } from './chat-message.ts'

interface DataListProps {
  readonly parts: ChatMessage['data']
}

/** What the agent and its tools have emitted: progress as a bar, anything else folded as JSON. */
export function DataList({ parts }: DataListProps) {
  return parts.map(({ name, id, data }) => {
    const progress = toProgress(data)
    const key = `${name} ${id ?? ''}`
    if (progress !== undefined) return <Progress key={key} name={name} {...progress} />
    return (
      <details key={key} className="fold" data-testid="data">
        <summary>
          Data <code>{name}</code>
        </summary>
        <div className="fold-body">
          <pre>{JSON.stringify(data, null, 2)}</pre>
        </div>
      </details>
    )
  })
}

interface ProgressState {
  readonly done: number
  readonly total: number
  readonly text: string | undefined
}

/** Data of the form `{ done, total, text? }`, whatever its name. */
function toProgress(data: unknown): ProgressState | undefined {
  if (typeof data !== 'object' || data === null || !('done' in data) || !('total' in data)) return undefined
  const { done, total } = data
  if (typeof done !== 'number' || typeof total !== 'number' || total <= 0) return undefined
  return { done, total, text: 'text' in data && typeof data.text === 'string' ? data.text : undefined }
}

function Progress({ name, done, total, text = name }: ProgressState & { readonly name: string }) {
  return (
    <label className="progress" data-testid="progress">
      <span className="progress-text">{text}</span>
      <progress value={done} max={total} />
      <span className="progress-count">
        {done} of {total}
      </span>
    </label>
  )
}
