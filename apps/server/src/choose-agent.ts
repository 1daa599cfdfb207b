/** Chooses Claude when the environment names a key or a server of its protocol, otherwise the demo model. */
import { claude } from '@verbatim/core/claude'
import type { Agent } from '@verbatim/core/server'
import type { Environment } from './env.ts'

/** The answers of a server that is killed go on at the next one. */
const onCrash = 'continue'

/** The agent and how to present it. */
export interface ChosenAgent {
  readonly agent: Agent
  readonly model: string
  readonly isDemo: boolean
  close(): Promise<void>
}

/** Starts the demo model when it needs one: a server of its own on loopback, so that Claude's whole path runs. */
export async function chooseAgent(env: Environment): Promise<ChosenAgent> {
  const { ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: baseURL, VERBATIM_MODEL: model } = env
  if (key === undefined && baseURL === undefined) return await demoAgent()
  // A server of the protocol without a key still gets the header.
  const agent = claude({ apiKey: key ?? 'none', model, onCrash, ...(baseURL === undefined ? {} : { baseURL }) })
  return { agent, model, isDemo: false, close: () => Promise.resolve() }
}

async function demoAgent(): Promise<ChosenAgent> {
  const model = 'demo'
  // Loaded only here: a server with a key needs no mock of its provider.
  const { startDemoModel } = await import('./demo-model.ts')
  const demo = await startDemoModel({})
  const agent = claude({ baseURL: demo.baseURL, apiKey: 'demo', model, onCrash })
  return { agent, model, isDemo: true, close: () => demo.close() }
}
