import { sourcesOf } from '@verbatim/client'
import { Fragment } from 'react'
import { Markdown } from '../markdown/markdown.tsx'
import { ServerToolDetails } from './server-tool-details.tsx'
import { Citations, Sources } from './sources.tsx'
import { ThinkingDetails } from './thinking-details.tsx'
import { ToolDetails } from './tool-details.tsx'
import type { ContentBlock, ToolResultBlock } from './chat-message.ts'

interface MessageContentProps {
  readonly content: readonly ContentBlock[]
  readonly isStreaming: boolean
}

/** An answer's blocks in their order; a tool's result is shown with its call, and the sources after all. */
export function MessageContent({ content, isStreaming }: MessageContentProps) {
  const results = resultsByCall(content)
  const sources = sourcesOf(content)
  const blocks = content.map((block, at) => {
    const isGrowing = isStreaming && at === content.length - 1
    switch (block.type) {
      case 'text':
        return (
          <Fragment key={at}>
            <Markdown source={block.text} isGrowing={isGrowing} />
            <Citations block={block} sources={sources} />
          </Fragment>
        )
      case 'thinking':
        return <ThinkingDetails key={at} thinking={block.thinking} isGrowing={isGrowing} />
      case 'redacted_thinking':
        return <ThinkingDetails key={at} thinking="The model's provider keeps this part to itself." isGrowing={false} />
      case 'tool_use':
        return <ToolDetails key={at} call={block} result={results.get(block.id)} isRunning={isStreaming} />
      case 'server_tool_use':
      case 'mcp_tool_use':
        return <ServerToolDetails key={at} call={block} result={answerOf(block.id, content)} isRunning={isStreaming} />
      default: // results, and blocks for the model alone
        return null
    }
  })
  return (
    <>
      {blocks}
      {!isStreaming && <Sources sources={sources} />}
    </>
  )
}

function resultsByCall(content: readonly ContentBlock[]): Map<string, ToolResultBlock> {
  const results = content.filter((block) => block.type === 'tool_result')
  return new Map(results.map((result) => [result.tool_use_id, result]))
}

function answerOf(callId: string, content: readonly ContentBlock[]): ContentBlock | undefined {
  return content.find((block) => 'tool_use_id' in block && block.tool_use_id === callId)
}
