export { createApi, type Api, type ApiInput } from './create-api.ts'
export type { ApiOptionsInput } from './api-options.ts'
export { guardServer } from './limits/guard-server.ts'
export { listen } from './limits/listen.ts'
export { createAppRouter, type AppRouter } from './create-router.ts'
export type { RouterOptions } from './procedures.ts'
export type { ApiContext, ApiRequest, Authenticate, PrincipalInput } from './context.ts'
export { toErrorShape, type AppErrorData, type AppErrorShape } from './to-error-shape.ts'
export type {
  Endpoint,
  EndpointAnswer,
  EndpointCall,
  EndpointResponse,
  EndpointStream,
  ServeEndpoint,
} from './http/endpoint.ts'
