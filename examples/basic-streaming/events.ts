import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

await using session = await createSessionManager({ ...mongo, sessionId: 'user-124', agents: [claude()] })

for await (const event of session.send('Explain async programming in TypeScript')) {
  switch (event.type) {
    case 'content_block_start':
      process.stdout.write(`[${event.content_block.type}] `)
      break
    case 'content_block_delta':
      if (event.delta.type === 'text_delta') process.stdout.write(event.delta.text)
      break
    case 'run_completed':
      console.log(`\n[Stream complete, ${event.metrics.outputTokens} tokens]`)
      break
    default:
  }
}
