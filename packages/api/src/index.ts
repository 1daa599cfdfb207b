export { createAppRouter, type AppRouter } from './create-router.ts'
export type { RouterOptions } from './procedures.ts'
export type { ApiContext, ApiRequest, Authenticate, PrincipalInput } from './context.ts'
export { toErrorShape, type AppErrorData, type AppErrorShape } from './to-error-shape.ts'
