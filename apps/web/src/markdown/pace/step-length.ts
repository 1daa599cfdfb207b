/** How much of a text is drawn in one step. */

/** What a step's parse may take, and its layout with its paint, in milliseconds: a key waits for one of them. */
const budgetMs = 12
/** How few or many characters a step may draw. What a model sends in a frame is below the least. */
const bounds = { least: 200, most: 4_000 }

/** The first step is short: the browser has not compiled the parser yet, and takes ten times as long. */
export const firstStep = bounds.least

/** How many characters the next step may draw, by what the one before took. It grows after a full step only, and never by leaps. */
export function nextStep(before: number, { length, tookMs }: { length: number; tookMs: number }): number {
  const fitting = (length * budgetMs) / tookMs
  const highest = length < before ? before : before * 1.5
  return Math.round(clamp(fitting, Math.max(bounds.least, before / 2), Math.min(bounds.most, highest)))
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}
