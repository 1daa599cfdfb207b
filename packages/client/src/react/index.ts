'use client'

/** React bindings of the Verbatim client. */
export { useVerbatim, VerbatimProvider } from './provider.tsx'
export { useChat, type UseChatResult } from './use-chat.ts'
export { useRun, type UseRunResult } from './use-run.ts'
