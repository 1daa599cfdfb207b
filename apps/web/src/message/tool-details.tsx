import { textOfResult } from '@verbatim/client'
import type { ToolResultBlock, ToolUseBlock } from './chat-message.ts'

interface ToolDetailsProps {
  readonly call: ToolUseBlock
  readonly result: ToolResultBlock | undefined
  /** True while the answer is being made, so that the result may still come. */
  readonly isRunning: boolean
}

/** One call of a tool in one line; its input and result are folded away. */
export function ToolDetails({ call, result, isRunning }: ToolDetailsProps) {
  const state = stateOf(result, isRunning)
  return (
    <details className="fold" data-testid="tool" data-state={state}>
      <summary data-growing={state === 'running'}>
        Tool <code>{call.name}</code> <span className="tool-state">{state}</span>
      </summary>
      <div className="fold-body">
        <p className="fold-label">Input</p>
        <pre>{JSON.stringify(call.input, null, 2)}</pre>
        {result !== undefined && (
          <>
            <p className="fold-label">{result.is_error ? 'Error' : 'Result'}</p>
            <pre>{textOfResult(result.content)}</pre>
          </>
        )}
      </div>
    </details>
  )
}

function stateOf(result: ToolResultBlock | undefined, isRunning: boolean): string {
  if (result !== undefined) return result.is_error ? 'failed' : 'done'
  return isRunning ? 'running' : 'no result'
}
