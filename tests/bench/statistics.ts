export function median(values: readonly number[]): number {
  return quantile(ascending(values), 0.5)
}

export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function ascending(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

/** To two decimal places. */
export function round(value: number): number {
  return Math.round(value * 100) / 100
}

export function toMegabytes(bytes: number): number {
  return round(bytes / 1024 / 1024)
}
