import { useVerbatim } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import type { ChatMessage } from './chat-message.ts'

type Outcome = 'refused' | 'cancelled' | 'failed' | 'interrupted'

const words: Readonly<Record<Outcome, string>> = {
  refused: 'The model refused to answer. Later answers do not see this exchange; try again, or ask in other words.',
  cancelled: 'Stopped by you',
  failed: 'Failed',
  interrupted: 'Interrupted',
}

function isOutcome(status: ChatMessage['status']): status is Outcome {
  return status in words
}

/** How an answer ended when it did not end whole; nothing otherwise. */
export function OutcomeLine({ message }: { message: ChatMessage }) {
  const { status, runId } = message
  if (!isOutcome(status)) return null
  const hasReason = (status === 'failed' || status === 'interrupted') && runId !== null
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
