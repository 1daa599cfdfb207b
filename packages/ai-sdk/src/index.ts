/** The AI SDK's UI messages over Verbatim's runs: pure functions, for servers and pages. */
export { readChunks, type ReadChunksOptions } from './ui/read-chunks.ts'
export { toUIMessages } from './ui/to-ui-messages.ts'
export type { FileOptions } from './ui/file-part.ts'
export type { AnswerMetadata, VerbatimMetadata } from './ui/metadata.ts'
