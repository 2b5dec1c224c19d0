// What a list has of a sequence that stays elsewhere: blocks of it, fetched when they are looked at, the ones that were
// not looked at for longest let go. A sequence of a million entries costs what a screenful does.

export interface Slice<T> {
  readonly items: readonly T[];
  readonly total: number;
}

/** Gives entries from place `start` (from 0) on, at most `limit`, and how many there are. */
export type Source<T> = (start: number, limit: number, signal: AbortSignal) => Promise<Slice<T>>;

export interface BlocksOptions {
  /** Entries of a block (200). */
  readonly size?: number;
  /** Blocks that are kept (60). */
  readonly most?: number;
}

export class Blocks<T> {
  total: number;
  /** Why the last fetch failed; null when it did not. */
  problem: unknown = null;
  readonly size: number;
  readonly #most: number;
  readonly #source: Source<T>;
  readonly #changed: () => void;
  readonly #blocks = new Map<number, readonly T[]>();
  readonly #fetching = new Map<number, AbortController>();
  #wanted: readonly [number, number] | null = null;
  #closed = false;

  constructor(source: Source<T>, changed: () => void, total = 0, options: BlocksOptions = {}) {
    this.#source = source;
    this.#changed = changed;
    this.total = total;
    this.size = options.size ?? 200;
    this.#most = options.most ?? 60;
  }

  /** The entry at a place, if it is here. */
  at(place: number): T | undefined {
    return this.#blocks.get(Math.floor(place / this.size))?.[place % this.size];
  }

  /** Have these places (both included) here soon; fetches of blocks that nobody looks at any more are given up. */
  want(first: number, last: number): void {
    this.#wanted = [first, last];
    const from = Math.floor(Math.max(first, 0) / this.size);
    const to = Math.floor(Math.max(last, 0) / this.size);
    for (const [index, fetch] of this.#fetching) {
      if (index < from - 1 || index > to + 1) {
        fetch.abort();
        this.#fetching.delete(index);
      }
    }
    for (let index = from; index <= to; index += 1) {
      const block = this.#blocks.get(index);
      if (block) {
        this.#blocks.delete(index);
        this.#blocks.set(index, block);
        if (block.length === this.size || index * this.size + block.length >= this.total) continue;
      }
      if (!this.#fetching.has(index)) void this.#fetch(index);
    }
  }

  /** Fetch the block with this place, whatever is here of it: how many there are is known then. */
  async open(place = 0): Promise<void> {
    await this.#fetch(Math.floor(place / this.size));
  }

  /** There are more now; they are fetched when they are looked at. */
  grow(total: number): void {
    this.total = Math.max(this.total, total);
    this.#changed();
  }

  /** Entries were added at the end: kept where the block that they belong to is here and whole so far. */
  append(items: readonly T[]): void {
    for (const item of items) {
      const index = Math.floor(this.total / this.size);
      const within = this.total % this.size;
      const block = this.#blocks.get(index);
      if (within === 0 && this.#blocks.size < this.#most) this.#blocks.set(index, [item]);
      else if (block && block.length === within) this.#blocks.set(index, [...block, item]);
      this.total += 1;
    }
    this.#changed();
  }

  /** Put another entry in the place of each for which `other` gives one. */
  replace(other: (item: T) => T | undefined): void {
    let any = false;
    for (const [index, block] of this.#blocks) {
      let here = false;
      const next = block.map((item) => {
        const put = other(item);
        if (put === undefined) return item;
        here = true;
        return put;
      });
      if (here) {
        this.#blocks.set(index, next);
        any = true;
      }
    }
    if (any) this.#changed();
  }

  /** All that is here, in order. */
  *here(): Generator<T> {
    for (const index of [...this.#blocks.keys()].sort((a, b) => a - b)) yield* this.#blocks.get(index) ?? [];
  }

  close(): void {
    this.#closed = true;
    for (const fetch of this.#fetching.values()) fetch.abort();
    this.#fetching.clear();
  }

  async #fetch(index: number): Promise<void> {
    const abort = new AbortController();
    this.#fetching.set(index, abort);
    const before = this.total;
    try {
      const slice = await this.#source(index * this.size, this.size, abort.signal);
      if (this.#closed || abort.signal.aborted) return;
      const here = this.#blocks.get(index);
      if (!here || here.length <= slice.items.length) this.#blocks.set(index, slice.items);
      // More may have been added while this was on its way.
      this.total = Math.max(this.total, slice.total, index * this.size + slice.items.length);
      this.problem = null;
      this.#forget(index);
    } catch (problem) {
      if (this.#closed || abort.signal.aborted) return;
      this.problem = problem;
    } finally {
      if (this.#fetching.get(index) === abort) this.#fetching.delete(index);
    }
    if (this.#wanted && this.total > before && this.problem === null) this.want(...this.#wanted);
    this.#changed();
  }

  #forget(keep: number): void {
    for (const index of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#most) return;
      if (index !== keep) this.#blocks.delete(index);
    }
  }
}
