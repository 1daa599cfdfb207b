/** A fake of Anthropic's Messages API for the real SDK. */
export {
  blockStop,
  callEnd,
  callStart,
  frameOf,
  serverToolBlock,
  textBlock,
  textDelta,
  textStart,
  thinkingBlock,
  toolBlock,
  wholeBlock,
} from './events.ts'
export type { ProviderEvent, UsageInput } from './events.ts'
export { beginning, compacting, cuttingAfter, refusing, saying, streaming } from './replies.ts'
export { promptOf, providerSecret, startProvider, startProviderOf } from './start-provider.ts'
export type { ProviderOptions } from './judge.ts'
export type { Provider, ProviderCall, ProviderReply } from './start-provider.ts'
export type { ProviderBody, RequestBlock, RequestMessage } from './request.ts'
export { rules } from './rules.ts'
