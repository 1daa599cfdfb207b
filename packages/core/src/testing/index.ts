/** For tests of programs that use Verbatim: real storage, scripted agents. */
export { agentRequest } from './agent-request.ts'
export { createGate, type Gate } from './gate.ts'
export {
  scriptedAgent,
  type Script,
  type ScriptedAgent,
  type ScriptedAgentOptions,
  type ScriptedCall,
  type ScriptStep,
} from './scripted-agent.ts'
export { openTestEngine, type TestEngine } from './test-engine.ts'
export { openTestDatabase, type TestDatabase } from './test-database.ts'
