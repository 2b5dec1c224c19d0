// Records that someone wants to find again: kept in this browser, for each conversation.

import { signal, type ReadonlySignal } from "@preact/signals";

const MOST = 500;
const all = new Map<string, ReturnType<typeof signal<readonly number[]>>>();
const place = (transcript: string) => `inspector.pins.${transcript}`;

function of(transcript: string): ReturnType<typeof signal<readonly number[]>> {
  let pins = all.get(transcript);
  if (!pins) all.set(transcript, (pins = signal<readonly number[]>(read(transcript))));
  return pins;
}

/** The numbers of what is pinned, in order. */
export function pinned(transcript: string): ReadonlySignal<readonly number[]> {
  return of(transcript) as ReadonlySignal<readonly number[]>;
}

/** Pin a record, or let it go. */
export function togglePin(transcript: string, n: number): void {
  const pins = of(transcript);
  const before = pins.value ?? [];
  pins.value = before.includes(n) ? before.filter((each) => each !== n) : [...before, n].sort((a, b) => a - b).slice(-MOST);
  try {
    sessionStorage.setItem(place(transcript), JSON.stringify(pins.value));
  } catch {
    // A browser that keeps nothing: the pins last as long as the page does.
  }
}

function read(transcript: string): number[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(place(transcript)) ?? "[]");
    return Array.isArray(kept) ? kept.filter((each): each is number => Number.isInteger(each)) : [];
  } catch {
    return [];
  }
}
