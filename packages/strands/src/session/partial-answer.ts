/** What the model has said in the call that goes on, so that a call which is cut is not lost. */
import { emptyAnswer, reduceEvents } from '@verbatim/core'
import type { Answer, ContentBlock } from '@verbatim/core'
import type { ModelStreamEvent } from '@strands-agents/sdk'
import { isBlank } from '@verbatim/core/agent-kit'
import { ModelCall } from '../run/model-call.ts'

export class PartialAnswer {
  #call = new ModelCall('')
  #answer: Answer = emptyAnswer

  /** A call begins, or what was said is stored. */
  reset(): void {
    this.#call = new ModelCall('')
    this.#answer = emptyAnswer
  }

  add(event: ModelStreamEvent): void {
    const events = [...this.#call.add(event)]
    if (events.length > 0) this.#answer = reduceEvents(this.#answer, { firstSeq: this.#answer.lastSeq + 1, events })
  }

  get intervention(): ModelCall['intervention'] {
    return this.#call.intervention
  }

  /** The words so far: calls of tools that are not whole, and thinking that no provider takes back, are left out. */
  get content(): ContentBlock[] {
    return this.#answer.content.filter(
      (block) =>
        (block.type === 'text' && !isBlank(block.text)) || (block.type === 'thinking' && block.signature !== ''),
    )
  }
}
