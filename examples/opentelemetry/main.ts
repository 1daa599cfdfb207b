import { stopSdk } from './instrumentation.ts'
import { trace } from '@opentelemetry/api'
import { claude, tool } from '@verbatim/core/claude'
import { openTelemetry } from '@verbatim/core/opentelemetry'
import { SessionManagerFactory } from '@verbatim/core/server'
import { z } from 'zod'
import { mongo } from '../mongo.ts'

const tracer = trace.getTracer('example')

// What a tool does lies below the span of its call: your spans, and those of your database or HTTP client.
const weather = tool({
  name: 'get_weather',
  description: 'The weather of a city, now',
  input: z.object({ city: z.string() }),
  run: async ({ city }) =>
    await tracer.startActiveSpan('look up', async (span) => {
      span.end()
      return `Rain in ${city}`
    }),
})

const telemetry = openTelemetry()
const factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude({ tools: [weather] })], telemetry })

// The run is a part of your trace, in whichever process it goes on.
await tracer.startActiveSpan('ask', async (span) => {
  const session = factory.createSessionManager({ sessionId: 'user-123' })
  for await (const text of session.send('How is the weather in Rome?').text) process.stdout.write(text)
  span.end()
})

await factory.close()
await stopSdk()
