import { runProgram } from '@verbatim/test-kit/process'
import type { ProgramOptions, RunningProgram } from '@verbatim/test-kit/process'

/** The command as a process of its own, with pipes instead of a terminal. */
export function runCommand(args: readonly string[], options: Omit<ProgramOptions, 'args'> = {}): RunningProgram {
  return runProgram(new URL('../main.ts', import.meta.url), { args, ...options })
}
