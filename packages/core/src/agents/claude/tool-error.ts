const brand = Symbol.for('verbatim.tool-error')

/** The longest message that a model receives, in characters. */
const maxLength = 16_000

/**
 * What a tool throws for the model to read: the call failed, and the message says why. The message of any other error stays with the
 * server, because it might hold a secret.
 *
 * @example
 * throw new ToolError('There is no city of this name; ask for another one')
 */
export class ToolError extends Error {
  override readonly name = 'ToolError'
  readonly [brand] = true

  constructor(message: string) {
    super(message.slice(0, maxLength).toWellFormed())
  }
}

/** Whether a tool threw it for the model, with this copy of the package or another. */
export function isToolError(error: unknown): error is ToolError {
  return error instanceof Error && brand in error
}
