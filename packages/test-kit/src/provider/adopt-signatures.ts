import type { ProviderEvent } from './events.ts'
import type { ProviderBody, RequestBlock } from './request.ts'
import type { Signer } from './signatures.ts'

/** Thinking that a test signs by hand is this provider's too: it is bound to the request that it answers. */
export function createAdopter(signer: Signer, body: ProviderBody): (event: ProviderEvent) => void {
  const blocks: (RequestBlock | undefined)[] = []
  const inputs: string[] = []
  return (event) => {
    const at = Number(event['index'])
    const block = event['content_block'] as RequestBlock | undefined
    const delta = (event['delta'] ?? {}) as RequestBlock
    const before = blocks
      .slice(0, at)
      .flatMap((told, index) => (told === undefined ? [] : [withInput(told, inputs[index] ?? '')]))
    if (block !== undefined) blocks[at] = block
    if (block?.type === 'redacted_thinking') signer.adopt(String(block['data']), body, before)
    if (delta.type === 'signature_delta') signer.adopt(String(delta['signature']), body, before)
    if (delta.type === 'input_json_delta') inputs[at] = (inputs[at] ?? '') + String(delta['partial_json'])
    blocks[at] = withDelta(blocks[at], delta)
  }
}

function withDelta(block: RequestBlock | undefined, delta: RequestBlock): RequestBlock | undefined {
  if (block === undefined) return undefined
  const { text = '', signature = '' } = block as { text?: string; signature?: string }
  if (typeof delta['text'] === 'string') return { ...block, text: text + delta['text'] }
  return typeof delta['signature'] === 'string' ? { ...block, signature: signature + delta['signature'] } : block
}

function withInput(block: RequestBlock, json: string): RequestBlock {
  try {
    return json === '' ? block : { ...block, input: JSON.parse(json) as unknown }
  } catch {
    return block // what a test cut or broke is not sent back as it was
  }
}
