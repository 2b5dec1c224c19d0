// How long answers took, as a picture: columns of a histogram whose borders were chosen elsewhere.

export interface Column {
  /** Seconds; `to` is Infinity for the last. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** The columns from the first to the last that has anything. */
export function columns(bounds: readonly number[], counts: readonly number[]): Column[] {
  const first = counts.findIndex((each) => each > 0);
  if (first < 0) return [];
  const last = counts.findLastIndex((each) => each > 0);
  return counts.slice(first, last + 1).map((count, index) => ({
    from: bounds[first + index - 1] ?? 0,
    to: bounds[first + index] ?? Infinity,
    count,
  }));
}
