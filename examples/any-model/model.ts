// Any provider of the AI SDK fits here: `createOpenAI`, `createGoogleGenerativeAI`, `createOpenAICompatible` for a server of your own.
import { createAnthropic } from '@ai-sdk/anthropic'

export const anthropic = createAnthropic({
  apiKey: process.env['ANTHROPIC_API_KEY'] ?? '',
  baseURL: `${process.env['ANTHROPIC_BASE_URL'] ?? 'https://api.anthropic.com'}/v1`,
})
