'use client'

/** React bindings of the Verbatim client. */
export { createHooks, type Hooks } from './create-hooks.ts'
export { useVerbatim, VerbatimProvider, type VerbatimProviderProps } from './provider.tsx'
export { useChat, type UseChatOptions, type UseChatResult } from './use-chat.ts'
export { useRun, type UseRunResult } from './use-run.ts'
export { useSessions, type UseSessionsResult } from './use-sessions.ts'
