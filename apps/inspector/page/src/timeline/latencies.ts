// How long answers took, as a picture: columns whose borders are 1, 2 and 5 times a power of ten.

export interface Column {
  /** Seconds; `to` is not in it. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

const STEPS = [1, 2, 5] as const;

/** Columns from the quickest to the slowest, none left out between. */
export function histogram(seconds: readonly number[]): Column[] {
  const counts = new Map<number, number>();
  for (const each of seconds) {
    if (!Number.isFinite(each) || each < 0) continue;
    const column = columnOf(Math.max(each, 1e-6));
    counts.set(column, (counts.get(column) ?? 0) + 1);
  }
  if (counts.size === 0) return [];
  const first = Math.min(...counts.keys());
  const last = Math.max(...counts.keys());
  return Array.from({ length: last - first + 1 }, (_, index) => ({
    from: border(first + index),
    to: border(first + index + 1),
    count: counts.get(first + index) ?? 0,
  }));
}

function columnOf(seconds: number): number {
  let column = Math.floor(Math.log10(seconds)) * 3;
  while (border(column + 1) <= seconds) column += 1;
  while (border(column) > seconds) column -= 1;
  return column;
}

function border(column: number): number {
  const step = ((column % 3) + 3) % 3;
  return Number(`${STEPS[step as 0 | 1 | 2]}e${Math.floor(column / 3)}`);
}
