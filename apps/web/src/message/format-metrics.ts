const counts = new Intl.NumberFormat('en')

/** 12345 becomes `12,345`. */
export function formatCount(count: number): string {
  return counts.format(count)
}

/** Milliseconds for reading: `85 ms`, `3.2 s`, `42 s`, `2 min 5 s`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
