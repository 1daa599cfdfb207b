/** Every event of an agent passes here first: it is valid, leaves no hole, and its answer fits one message. */
import { VerbatimError } from '../../contract/errors.ts'
import { AgentEvent } from '../../contract/event.ts'
import type { ContentDelta, DataEvent } from '../../contract/event.ts'
import type { EmittedData } from './check-data-event.ts'

/**
 * Checks the events of one run, in order; the check answers the event.
 *
 * @param checkData the check of data events, which agents also emit without yielding them
 * @throws VerbatimError (the check) `MESSAGE_TOO_LARGE` when the answer grows over `maxAnswerBytes`; an `Error` when the agent is at fault
 */
export function createEventCheck(
  { maxAnswerBytes }: { maxAnswerBytes: number },
  checkData: (emitted: EmittedData) => DataEvent,
): (event: unknown) => AgentEvent {
  const requireDense = createIndexCheck()
  let bytes = 0
  return (event) => {
    if (isData(event)) return checkData(event)
    const valid = AgentEvent.parse(event)
    requireDense(valid)
    bytes += answerBytesOf(valid)
    if (bytes <= maxAnswerBytes) return valid
    throw new VerbatimError('MESSAGE_TOO_LARGE', 'The answer grew over what one message can hold', {
      data: { maxBytes: maxAnswerBytes },
    })
  }
}

function isData(event: unknown): event is EmittedData {
  return typeof event === 'object' && event !== null && 'type' in event && event.type === 'data'
}

/** A skipped block index would leave a hole in the stored answer: the agent is at fault, and its run fails. */
function createIndexCheck(): (event: AgentEvent) => void {
  let opened = 0
  return (event) => {
    if (event.type === 'message_start') opened = 0
    if (event.type !== 'content_block_start' && event.type !== 'content_block') return
    if (event.index > opened) throw new Error('The agent skipped a block index')
    opened = Math.max(opened, event.index + 1)
  }
}

/** How much JSON may grow when it is stored as BSON: an array of small numbers has a key of up to seven digits for each. */
const bsonGrowth = 7

/** The most bytes that the event adds to the stored answer: an answer within the limit fits a document. */
function answerBytesOf(event: AgentEvent): number {
  switch (event.type) {
    case 'content_block_delta':
      return bytesOfDelta(event.delta)
    case 'content_block_start':
    case 'content_block':
      return Buffer.byteLength(JSON.stringify(event)) * (event.content_block.type === 'tool_use' ? bsonGrowth : 1)
    case 'tool_result':
      return Buffer.byteLength(JSON.stringify(event))
    default:
      return 0
  }
}

function bytesOfDelta(delta: ContentDelta): number {
  switch (delta.type) {
    case 'text_delta':
      return Buffer.byteLength(delta.text)
    case 'thinking_delta':
    case 'signature_delta':
      return Buffer.byteLength(JSON.stringify(delta))
    case 'input_json_delta':
      return Buffer.byteLength(delta.partial_json) * (bsonGrowth + 1) // the text itself may be kept beside it
    case 'citations_delta':
      return Buffer.byteLength(JSON.stringify(delta)) * bsonGrowth
  }
}
