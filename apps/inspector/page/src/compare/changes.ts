// What the rows of a comparison say, in words; and which of them are looked at.

import type { Json } from "../api.ts";

export type RowKind = "same" | "changed" | "only-a" | "only-b";

export interface Difference {
  pointer: string;
  a: Json;
  b: Json;
  /** "a" or "b" where one of them has nothing there. */
  missing: "a" | "b" | "";
}

export interface ComparisonRow {
  kind: RowKind;
  a: number | null;
  b: number | null;
  method: string;
  name: string;
  changes: Difference[];
}

export interface ComparisonView {
  rows: ComparisonRow[];
}

/** A difference of two surfaces, as the library's `SurfaceChange.to_wire` has it. */
export interface SurfaceChange {
  severity: string;
  kind?: string;
  name?: string;
  what: string;
  /** A JSON pointer into the surface. */
  where: string;
  /** What that does to callers. */
  why?: string;
  before?: Json;
  after?: Json;
  example?: Json;
}

export const KINDS: readonly { kind: RowKind; says: string; mark: string }[] = [
  { kind: "changed", says: "changed", mark: "≠" },
  { kind: "only-a", says: "only in the first", mark: "−" },
  { kind: "only-b", says: "only in the second", mark: "+" },
  { kind: "same", says: "the same", mark: "=" },
];

export function counts(rows: readonly ComparisonRow[]): Record<RowKind, number> {
  const found = { same: 0, changed: 0, "only-a": 0, "only-b": 0 };
  for (const row of rows) found[row.kind] += 1;
  return found;
}

/** A value beside another: as JSON, cut in the middle where it is long, so that both ends are seen. */
export function brief(value: Json | undefined, most = 160): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  if (text.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return `${text.slice(0, half)}…${text.slice(-half)}`;
}

/** Where two texts differ: the same beginning and end, and what is between. */
export function parted(a: string, b: string): { start: string; a: string; b: string; end: string } {
  const most = Math.min(a.length, b.length);
  let start = 0;
  while (start < most && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  return { start: a.slice(0, start), a: a.slice(start, a.length - end), b: b.slice(start, b.length - end), end: a.slice(a.length - end) };
}

export const SEVERITIES: readonly string[] = ["breaking", "possible", "warning", "compatible", "cosmetic"];

export function bySeverity(changes: readonly SurfaceChange[]): SurfaceChange[] {
  const rank = (each: SurfaceChange) => {
    const at = SEVERITIES.indexOf(each.severity);
    return at < 0 ? SEVERITIES.length : at;
  };
  return changes.toSorted((a, b) => rank(a) - rank(b) || a.where.localeCompare(b.where));
}
