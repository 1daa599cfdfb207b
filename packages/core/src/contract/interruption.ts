/** What the server says in place of a lost process or of a person. Fixed texts: agents and interfaces may recognise them. */

/** The user message with which a linked run asks the model to go on: a model refuses a conversation that ends with an answer. */
export const continuationPrompt =
  'The server that was writing your answer stopped before the answer was whole. What was kept of it is above, if anything is. ' +
  'Go on exactly where it ends: do not repeat it, do not begin again and do not mention the interruption. ' +
  'Where the outcome of a tool call is unknown, do not make that call again; say what is not known instead.'

/** {@link continuationPrompt} for an agent with an output schema: half of its output and the other half are no JSON together. */
export const wholeContinuationPrompt =
  'The server that was writing your answer stopped before the answer was whole. What was kept of it is above, if anything is. ' +
  'Give the whole answer again from its beginning, and do not mention the interruption. ' +
  'Where the outcome of a tool call is unknown, do not make that call again; say what is not known instead.'

/** The user message with which `runs.continue` asks for the rest of an answer that reached its greatest length. */
export const cutContinuationPrompt =
  'Your answer reached the greatest length of one answer and ends in its middle. Go on exactly where it ends, if need be within a ' +
  'word, a line of code or a list: do not repeat any of it, do not begin again and do not mention the cut.'

/** The result of a tool call that may have taken effect; its real result is lost. */
export const unknownOutcome =
  'The outcome of this call is unknown: the process that ran the tool was lost. It may have taken effect.'
