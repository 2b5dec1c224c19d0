// Which row each span stands in: connection by connection, each with a row for its name and as many as it has lanes.

export interface Placed {
  readonly id: number;
  readonly link: number;
  readonly lane: number;
  readonly start: number;
}

export interface Band {
  readonly link: number;
  /** The row with the name; the lanes follow. */
  readonly head: number;
  readonly lanes: number;
}

export interface Layout<T extends Placed> {
  readonly bands: readonly Band[];
  readonly rows: number;
  /** The spans of each row, by their beginning. */
  readonly byRow: ReadonlyMap<number, readonly T[]>;
  readonly rowOf: (span: Placed) => number;
}

/** Lanes of a connection at most (200): what is beyond shares the last. */
export const MOST_LANES = 200;

export function laidOut<T extends Placed>(spans: readonly T[]): Layout<T> {
  const lanes = new Map<number, number>();
  for (const { link, lane } of spans)
    lanes.set(link, Math.max(lanes.get(link) ?? 0, Math.min(lane + 1, MOST_LANES)));
  const bands: Band[] = [];
  const heads = new Map<number, number>();
  let rows = 0;
  for (const link of [...lanes.keys()].sort((a, b) => a - b)) {
    const count = lanes.get(link)!;
    bands.push({ link, head: rows, lanes: count });
    heads.set(link, rows);
    rows += count + 1;
  }
  const rowOf = (span: Placed) => (heads.get(span.link) ?? 0) + 1 + Math.min(span.lane, MOST_LANES - 1);
  const byRow = new Map<number, T[]>();
  for (const span of spans.toSorted((a, b) => a.start - b.start || a.id - b.id)) {
    const row = rowOf(span);
    const there = byRow.get(row);
    if (there) there.push(span);
    else byRow.set(row, [span]);
  }
  return { bands, rows, byRow, rowOf };
}

/** The innermost span of a row at a time, give or take `slack` seconds. */
export function spanAt<T extends Placed & { readonly end: number | null }>(
  layout: Layout<T>,
  row: number,
  time: number,
  slack: number,
): T | undefined {
  const inside = (layout.byRow.get(row) ?? []).filter(
    (each) => each.start - slack <= time && (each.end ?? Infinity) + slack >= time,
  );
  // What began last is the innermost; of those, the shortest.
  return inside.reduce<T | undefined>((best, each) => (!best || each.start >= best.start ? each : best), undefined);
}
