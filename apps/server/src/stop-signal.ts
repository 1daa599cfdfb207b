/** Signals that ask to stop. Programs between the terminal and us (npm, npx) pass a Ctrl-C on that we got already. */
const sameCtrlCMs = 400

/** Aborts at the first SIGINT, SIGTERM or SIGHUP. A second one, more than 400 ms later, ends the process at once. */
export function stopSignal(onFirst: () => void): AbortSignal {
  const controller = new AbortController()
  let firstAt: number | undefined
  const onSignal = (name: NodeJS.Signals, number: number) => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      onFirst()
      controller.abort(new Error(`Stopped by ${name}`))
    } else if (performance.now() - firstAt > sameCtrlCMs) {
      process.exit(128 + number)
    }
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  return controller.signal
}
