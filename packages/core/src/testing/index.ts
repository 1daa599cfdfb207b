/** For tests of programs that use Verbatim: real storage, scripted agents. */
export { createGate, type Gate } from './gate.ts'
export {
  scriptedAgent,
  type Script,
  type ScriptedAgent,
  type ScriptedAgentOptions,
  type ScriptedCall,
  type ScriptStep,
} from './scripted-agent.ts'
export { openTestCore, type TestCore } from './test-core.ts'
export { openTestDatabase, type TestDatabase } from './test-database.ts'
