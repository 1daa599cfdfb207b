import type { Server } from 'node:http'

/** Time for answers that are being ended to reach their readers, in milliseconds. */
const goodbyeMs = 1_000

/** Takes no more connections and waits for the open answers to end; after a second it cuts them. Can be called twice. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const cut = setTimeout(() => server.closeAllConnections(), goodbyeMs)
  try {
    await closed
  } finally {
    clearTimeout(cut)
  }
}
