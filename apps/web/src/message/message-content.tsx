import { Markdown } from '../markdown/markdown.tsx'
import { ThinkingDetails } from './thinking-details.tsx'
import { ToolDetails } from './tool-details.tsx'
import type { ContentBlock, ToolResultBlock } from './chat-message.ts'

interface MessageContentProps {
  readonly content: readonly ContentBlock[]
  readonly isStreaming: boolean
}

/** An answer's blocks in their order; a tool's result is shown with its call. */
export function MessageContent({ content, isStreaming }: MessageContentProps) {
  const results = resultsByCall(content)
  return content.map((block, at) => {
    const isGrowing = isStreaming && at === content.length - 1
    switch (block.type) {
      case 'text':
        return <Markdown key={at} source={block.text} isGrowing={isGrowing} />
      case 'thinking':
        return <ThinkingDetails key={at} thinking={block.thinking} isGrowing={isGrowing} />
      case 'redacted_thinking':
        return <ThinkingDetails key={at} thinking="The model's provider keeps this part to itself." isGrowing={false} />
      case 'tool_use':
        return <ToolDetails key={at} call={block} result={results.get(block.id)} isRunning={isStreaming} />
      default: // results, and blocks for the model alone
        return null
    }
  })
}

function resultsByCall(content: readonly ContentBlock[]): Map<string, ToolResultBlock> {
  const results = content.filter((block) => block.type === 'tool_result')
  return new Map(results.map((result) => [result.tool_use_id, result]))
}
