// Which row each span stands in: spans of a lane that overlap stand below each other, a child below its parent, and
// a lane has as many rows as it needs.

export interface Placed {
  readonly id: string;
  readonly lane: string | number;
  readonly start: number;
  readonly end: number | null;
}

export interface Lane {
  readonly name: string;
  /** The first row, from 0, and how many. */
  readonly first: number;
  readonly rows: number;
}

export interface Layout {
  readonly lanes: readonly Lane[];
  readonly rows: number;
  readonly row: ReadonlyMap<string, number>;
}

/** Rows of one lane at most (60): what finds none of its own shares the last. */
export const MOST_ROWS = 60;

export function laidOut(spans: readonly Placed[], now: number): Layout {
  const byLane = new Map<string, Placed[]>();
  for (const span of spans) {
    const name = String(span.lane);
    const lane = byLane.get(name);
    if (lane) lane.push(span);
    else byLane.set(name, [span]);
  }
  const lanes: Lane[] = [];
  const row = new Map<string, number>();
  let first = 0;
  for (const [name, members] of byLane) {
    const rows = packed(members, now, first, row);
    lanes.push({ name, first, rows });
    first += rows;
  }
  return { lanes, rows: first, row };
}

function packed(spans: Placed[], now: number, first: number, row: Map<string, number>): number {
  const ordered = spans.toSorted((a, b) => a.start - b.start || (b.end ?? now) - (a.end ?? now));
  const free: number[] = [];
  for (const span of ordered) {
    const end = Math.max(span.end ?? now, span.start);
    let at = free.findIndex((until) => until <= span.start);
    if (at < 0) at = free.length < MOST_ROWS ? free.length : MOST_ROWS - 1;
    free[at] = Math.max(end, span.start + 1e-9);
    row.set(span.id, first + at);
  }
  return free.length;
}
