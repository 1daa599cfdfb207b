/** Chooses Claude when the environment names a key or a server of its protocol, otherwise the demo model. */
import { claude } from '@verbatim/core/claude'
import type { Agent } from '@verbatim/core/server'
import type { DemoModel } from './demo-model.ts'
import type { Environment } from './env.ts'

/** The answers of a server that is killed go on at the next one. */
const onCrash = 'continue'

/** The agent and how to present it. */
export interface ChosenAgent {
  readonly agent: Agent
  readonly model: string
  readonly isDemo: boolean
  /** Loads what the first answer needs. A server is ready without it. */
  warmUp(): Promise<void>
  close(): Promise<void>
}

/** The agent that answers. */
export function chooseAgent(env: Environment): ChosenAgent {
  const { ANTHROPIC_API_KEY: key, ANTHROPIC_BASE_URL: baseURL, VERBATIM_MODEL: model } = env
  if (key === undefined && baseURL === undefined) return demoAgent()
  // A server of the protocol without a key still gets the header.
  const agent = claude({ apiKey: key ?? 'none', model, onCrash, ...(baseURL === undefined ? {} : { baseURL }) })
  return { agent, model, isDemo: false, warmUp: loadSdk, close: () => Promise.resolve() }
}

/** The demo model is a server of its own on loopback, so that Claude's whole path runs. The first answer starts it. */
function demoAgent(): ChosenAgent {
  const model = 'demo'
  let starting: Promise<{ readonly demo: DemoModel; readonly answering: Agent }> | undefined
  const start = async () => {
    const { startDemoModel } = await import('./demo-model.ts')
    const demo = await startDemoModel({})
    return { demo, answering: claude({ baseURL: demo.baseURL, apiKey: 'demo', model, onCrash }) }
  }
  const started = async () => await (starting ??= start())
  const agent: Agent = {
    ...claude({ apiKey: 'demo', model, onCrash }),
    async *stream(request, signal) {
      const { answering } = await started()
      yield* answering.stream(request, signal)
    },
  }
  return {
    agent,
    model,
    isDemo: true,
    async warmUp() {
      await Promise.all([started(), loadSdk()])
    },
    async close() {
      await (await starting)?.demo.close()
    },
  }
}

async function loadSdk(): Promise<void> {
  await import('@anthropic-ai/sdk')
}
