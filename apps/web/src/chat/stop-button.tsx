import { useState } from 'react'
import { StopIcon } from '../page/icons.tsx'

/** Stops the answer that is being made; what is there of it stays. */
export function StopButton({ onStop, onPress }: { onStop: () => Promise<void>; onPress: () => void }) {
  const [isStopping, setStopping] = useState(false)
  const stop = () => {
    setStopping(true)
    onPress()
    void onStop().finally(() => setStopping(false))
  }
  return (
    <button
      type="button"
      className="round-button stop-button"
      onClick={stop}
      disabled={isStopping}
      aria-label="Stop the answer"
      data-testid="stop"
    >
      <StopIcon />
    </button>
  )
}
