import type { StopReason } from '@strands-agents/sdk'

/** A stop reason in the words of the contract: `endTurn` is `end_turn`. */
export function toStopReason(reason: StopReason): string {
  return reason.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
