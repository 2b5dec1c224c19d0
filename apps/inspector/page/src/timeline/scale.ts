// The part of time that is seen: pure, so that wheel, keys and fingers all mean the same.

export interface Window {
  /** Seconds; `end` is greater than `start`. */
  readonly start: number;
  readonly end: number;
}

/** The least that can be seen (seconds): ten microseconds. */
export const CLOSEST = 1e-5;

export function zoomed(seen: Window, all: Window, factor: number, around: number): Window {
  const whole = all.end - all.start;
  const length = Math.min(Math.max((seen.end - seen.start) * factor, CLOSEST), whole);
  const share = (around - seen.start) / (seen.end - seen.start);
  return kept({ start: around - share * length, end: around + (1 - share) * length }, all);
}

export function panned(seen: Window, all: Window, by: number): Window {
  return kept({ start: seen.start + by, end: seen.end + by }, all);
}

/** The window moved so that a span is in it; made wider where it has to be. */
export function revealing(seen: Window, all: Window, start: number, end: number): Window {
  const length = seen.end - seen.start;
  if (start >= seen.start && end <= seen.end) return seen;
  if (end - start > length) return kept({ start: start - (end - start) * 0.1, end: end + (end - start) * 0.1 }, all);
  const middle = (start + end) / 2;
  return kept({ start: middle - length / 2, end: middle + length / 2 }, all);
}

function kept(seen: Window, all: Window): Window {
  const length = Math.min(seen.end - seen.start, all.end - all.start);
  const start = Math.min(Math.max(seen.start, all.start), all.end - length);
  return { start, end: start + length };
}

/** Round places for the marks of the scale, at most about `most`, and what lies between two of them. */
export function ticks(seen: Window, most: number): { at: number[]; step: number } {
  const rough = (seen.end - seen.start) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= rough) ?? 10);
  const at: number[] = [];
  const first = Math.ceil(seen.start / step - 1e-9) || 0;
  for (let index = first; index * step <= seen.end + step * 1e-9; index += 1) at.push(index * step);
  return { at, step };
}

/** How a mark of the scale is written, with as many places as the step has. */
export function tickText(at: number, step: number): string {
  if (step >= 1) return `${at.toFixed(0)} s`;
  if (at >= 1) return `${at.toFixed(Math.min(Math.ceil(-Math.log10(step) - 1e-9), 6))} s`;
  if (step >= 1e-3) return `${(at * 1e3).toFixed(0)} ms`;
  return `${(at * 1e3).toFixed(Math.min(Math.ceil(-Math.log10(step) - 3), 6))} ms`;
}
