/** The metrics: names, units and buckets by the conventions; what they have no name for is under `verbatim.`. */
import { metrics } from '@opentelemetry/api'

/** The instrumentation's name, in all spans and metrics. */
export const scopeName = '@verbatim/core'

/** Seconds, from the time of a fast tool to that of a long answer. */
const callSeconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const runSeconds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
const commitSeconds = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 5, 20]
const tokenCounts = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]

export type Instruments = ReturnType<typeof createInstruments>

export function createInstruments() {
  const meter = metrics.getMeter(scopeName)
  const seconds = (name: string, description: string, explicitBucketBoundaries: number[]) =>
    meter.createHistogram(name, { description, unit: 's', advice: { explicitBucketBoundaries } })
  return {
    modelCall: seconds('gen_ai.client.operation.duration', 'GenAI operation duration.', callSeconds),
    firstChunk: seconds(
      'gen_ai.client.operation.time_to_first_chunk',
      'Time to receive the first chunk of a streamed answer.',
      callSeconds,
    ),
    tokens: meter.createHistogram('gen_ai.client.token.usage', {
      description: 'Number of input and output tokens used.',
      unit: '{token}',
      advice: { explicitBucketBoundaries: tokenCounts },
    }),
    run: seconds('gen_ai.invoke_agent.duration', 'Time from the beginning of a run to its stored end.', runSeconds),
    toolCall: seconds('gen_ai.execute_tool.duration', 'The duration of a single tool execution.', callSeconds),
    commit: seconds('verbatim.commit.duration', 'Time that a commit of the log takes.', commitSeconds),
    activeRuns: meter.createUpDownCounter('verbatim.runs.active', {
      description: 'Runs that this process drives.',
      unit: '{run}',
    }),
    activeFollowers: meter.createUpDownCounter('verbatim.followers.active', {
      description: 'Followers of runs in this process.',
      unit: '{follower}',
    }),
    refusals: meter.createCounter('verbatim.starts.refused', {
      description: 'Starts and retries that a limit, a budget, a busy session or a full process has refused.',
      unit: '{start}',
    }),
  }
}
