import { WireError } from '@verbatim/core'

/** The status and the error code of a response, in either form of error. */
export interface ResponseOutcome {
  readonly status: number
  readonly code: string | undefined
  readonly text: string
}

export async function readOutcome(response: Response): Promise<ResponseOutcome> {
  const text = await response.text()
  const wire = /"(?:verbatim|error)":(\{"code":"[A-Z_]+".*?"data":\{.*?\}\})/.exec(text)?.[1]
  const code = wire === undefined ? undefined : WireError.parse(JSON.parse(wire)).code
  return { status: response.status, code, text }
}
