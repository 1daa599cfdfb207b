/** Strands agents on Verbatim. */
export { strands, type StrandsOptions } from './run/strands.ts'
export { runOf, type StrandsRun } from './run/run-of.ts'
export type { StrandsFactory } from './run/agent-slot.ts'
export type { Intervention } from './content/guardrail.ts'
export { StrandsSession } from './session/strands-session.ts'
