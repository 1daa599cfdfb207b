/** Programs as processes of their own. */
export { runProgram, startServerProgram } from './run-program.ts'
export type { ProgramOptions, RunningProgram } from './run-program.ts'
