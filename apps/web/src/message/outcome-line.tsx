import { useVerbatim } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import type { ChatMessage } from './chat-message.ts'

type Outcome = 'cancelled' | 'failed' | 'interrupted'

const words: Readonly<Record<Outcome, string>> = {
  cancelled: 'Stopped by you',
  failed: 'Failed',
  interrupted: 'Interrupted',
}

/** How an answer ended when it did not end whole; nothing otherwise. */
export function OutcomeLine({ message }: { message: ChatMessage }) {
  const { status, runId } = message
  if (status !== 'cancelled' && status !== 'failed' && status !== 'interrupted') return null
  const hasReason = status !== 'cancelled' && runId !== null
  return (
    <p className="outcome" data-testid="outcome" data-status={status}>
      {words[status]}
      {hasReason && <Reason runId={runId} />}
    </p>
  )
}

/** Why the run did not complete; it is kept with the run, not with the message. */
function Reason({ runId }: { runId: string }) {
  const client = useVerbatim()
  const [reason, setReason] = useState('')
  useEffect(() => {
    const controller = new AbortController()
    client.runs.get(runId, { signal: controller.signal }).then(
      (run) => setReason(run.error?.message ?? ''),
      () => {}, // the line says what happened without the reason too
    )
    return () => controller.abort()
  }, [client, runId])
  return reason === '' ? null : `: ${reason}`
}
