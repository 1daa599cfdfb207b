import { spawn } from 'node:child_process'
import { Socket } from 'node:net'

/**
 * $1 = the server, $2 = its signal, $3 = a folder to remove. The read ends when the parent's end of the pipe closes; the system
 * closes it however the parent dies. The wait is bounded: an ended server stays a zombie if no process reaps it.
 */
const script = `
trap '' INT TERM HUP
read -r _
kill -"$2" "$1" 2>/dev/null
[ -n "$3" ] || exit 0
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
rm -rf -- "$3"
`

/**
 * Starts the small process that ends mongod if this process dies without cleaning up (SIGKILL, out of memory). It kills a
 * server with a throw-away folder and removes the folder; it asks any other server to shut down cleanly.
 * @returns a function that ends the watchdog, for after the server's end.
 */
export function startWatchdog(serverPid: number, throwAwayFolder: string | undefined): () => void {
  const signal = throwAwayFolder === undefined ? 'TERM' : 'KILL'
  if (process.platform === 'win32') return killOnExit(serverPid)
  const watchdog = spawn('/bin/sh', ['-c', script, 'watchdog', String(serverPid), signal, throwAwayFolder ?? ''], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  // Node types the pipe as a stream, but unref is the socket's. With it a program may end without stopping its server.
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref()
  return () => void watchdog.kill('SIGKILL')
}

/** Windows has no sh, so only an ordinary exit ends the server there. */
function killOnExit(serverPid: number): () => void {
  const kill = () => process.kill(serverPid)
  process.once('exit', kill)
  return () => void process.off('exit', kill)
}
