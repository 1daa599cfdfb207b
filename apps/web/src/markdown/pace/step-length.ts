/** How much is drawn in one step, so that a key that is pressed meanwhile does not wait. */

/** What a step's parse may take, and its layout with its paint, in milliseconds: a key waits for one of them. */
const budgetMs = 12

interface Bounds {
  readonly least: number
  readonly most: number
}

/** Of characters. What a model sends in a frame is below the least. */
export const textStep: Bounds = { least: 200, most: 4_000 }
/** Of formulas, each of which takes as long as many characters. */
export const mathStep: Bounds = { least: 1, most: 32 }

interface Step {
  readonly length: number
  readonly tookMs: number
}

/**
 * How much the next step may draw, by what the one before took. The first one is the shortest, because the browser has not compiled what
 * draws it. A step grows after a full one only, by half at most.
 */
export function nextStep(before: number, { length, tookMs }: Step, { least, most }: Bounds): number {
  const fitting = (length * budgetMs) / tookMs
  const highest = length < before ? before : before * 1.5
  return Math.round(clamp(fitting, Math.max(least, before / 2), Math.min(most, highest)))
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}
