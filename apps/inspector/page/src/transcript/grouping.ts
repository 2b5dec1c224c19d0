// Calls with what belongs to them under them, where somebody opened it: which entry of the one list that is shown is a
// call, and which belongs to one.

export interface Opened {
  /** The place of the call among the calls. */
  readonly head: number;
  /** How much belongs to it. */
  readonly count: number;
}

export type Entry = { readonly head: number; readonly child: number | null };

/** What stands at a place of the list: a call, or the `child`-th of what belongs to it. `opened` is in order. */
export function entryAt(opened: readonly Opened[], place: number): Entry {
  let before = 0;
  for (const each of opened) {
    const at = each.head + before;
    if (place <= at) break;
    if (place <= at + each.count) return { head: each.head, child: place - at - 1 };
    before += each.count;
  }
  return { head: place - before, child: null };
}

/** Where a call stands in the list. */
export function placeOf(opened: readonly Opened[], head: number): number {
  return opened.reduce((place, each) => (each.head < head ? place + each.count : place), head);
}

export function lengthOf(opened: readonly Opened[], heads: number): number {
  return opened.reduce((sum, each) => sum + each.count, heads);
}
