import { useVerbatim } from '@verbatim/client/react'
import { useEffect, useState } from 'react'
import { errorMessage } from '../notices/error-message.ts'
import type { Outcome } from './outcome.ts'

const words: Readonly<Record<Outcome, string>> = {
  refused: 'The model refused to answer. Later answers do not see this exchange; try again, or ask in other words.',
  cancelled: 'Stopped by you',
  failed: 'Failed',
  interrupted: 'Interrupted',
  cut: 'The answer has reached the greatest length of one answer. Continue has the model go on.',
  full: 'The session is too long for the model, so the answer ends here. Begin a new chat to go on.',
  empty: 'The model ended without an answer. Try again, or ask in other words.',
}

/** How an answer ended when it did not end whole. */
export function OutcomeLine({ outcome, runId }: { outcome: Outcome; runId: string | null }) {
  const hasReason = (outcome === 'failed' || outcome === 'interrupted') && runId !== null
  return (
    <p className="outcome" data-testid="outcome" data-status={outcome}>
      {words[outcome]}
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
      ({ error }) => setReason(error === null ? '' : errorMessage(error)),
      () => {}, // the line says what happened without the reason too
    )
    return () => controller.abort()
  }, [client, runId])
  return reason === '' ? null : `. ${reason}`
}
