import type { ContentBlock, ServerCallBlock } from './chat-message.ts'

interface ServerToolDetailsProps {
  readonly call: ServerCallBlock
  readonly result: ContentBlock | undefined
  /** True while the answer is being made, so that the result may still come. */
  readonly isRunning: boolean
}

/** One call of a tool that the model's provider ran, in one line; its input is folded away. What it found is among the sources. */
export function ServerToolDetails({ call, result, isRunning }: ServerToolDetailsProps) {
  const state = result !== undefined ? (isError(result) ? 'failed' : 'done') : isRunning ? 'running' : 'no result'
  return (
    <details className="fold" data-testid="tool" data-state={state}>
      <summary data-growing={state === 'running'}>
        Tool <code>{call.type === 'mcp_tool_use' ? `${call.server_name}: ${call.name}` : call.name}</code>{' '}
        <span className="tool-state">{state}</span>
      </summary>
      <div className="fold-body">
        <p className="fold-label">Input</p>
        <pre>{JSON.stringify(call.input, null, 2)}</pre>
      </div>
    </details>
  )
}

function isError(result: ContentBlock): boolean {
  if ('is_error' in result) return result.is_error === true
  if (!('content' in result) || typeof result.content !== 'object' || result.content === null) return false
  return 'error_code' in result.content
}
