// Calls, each with what belongs to it under it where it is open.

import { useReducer, useRef } from "preact/hooks";
import { api, type RecordView } from "../api.ts";
import type { Blocks } from "./blocks.ts";
import { entryAt, type Opened } from "./grouping.ts";

const MOST = 1000;

export interface Shown {
  record: RecordView | undefined;
  /** It stands under its call. */
  inner: boolean;
}

/** What is open under which call: for one conversation and one search. */
export class OpenCalls {
  readonly #children = new Map<number, readonly RecordView[]>();
  opened: readonly Opened[] = [];
  problem: unknown = null;

  async toggle(transcript: string, head: number, call: RecordView): Promise<void> {
    if (this.#children.delete(head)) this.#order();
    else await this.#load(transcript, head, call.n);
  }

  /** More belongs to a call now. */
  add(news: readonly RecordView[], headOf: (n: number) => number): void {
    for (const record of news) {
      if (!record.group || record.group === record.n) continue;
      const head = headOf(record.group);
      const before = this.#children.get(head);
      if (before && before.length < MOST && before.every((each) => each.n !== record.n))
        this.#children.set(head, [...before, record]);
    }
    this.#order();
  }

  /** Fetch anew what belongs to the calls that are open: `numberOf` gives the number of the one at a place. */
  async again(transcript: string, numberOf: (head: number) => number): Promise<void> {
    const open = [...this.#children.keys()].filter((head) => numberOf(head) > 0);
    await Promise.all(open.map((head) => this.#load(transcript, head, numberOf(head))));
  }

  isOpen(head: number): boolean {
    return this.#children.has(head);
  }

  get open(): Iterable<number> {
    return this.#children.keys();
  }

  at(blocks: Blocks<RecordView>, place: number): Shown {
    const entry = entryAt(this.opened, place);
    if (entry.child === null) return { record: blocks.at(entry.head), inner: false };
    return { record: this.#children.get(entry.head)?.[entry.child], inner: true };
  }

  async #load(transcript: string, head: number, n: number): Promise<void> {
    try {
      const page = await api.records(transcript, 1, MOST, `group:${n}`);
      this.#children.set(
        head,
        page.records.filter((each) => each.n !== n),
      );
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
    this.#order();
  }

  #order(): void {
    this.opened = [...this.#children]
      .map(([head, records]) => ({ head, count: records.length }))
      .sort((a, b) => a.head - b.head);
  }
}

export function useOpenCalls(key: string) {
  const [, draw] = useReducer((times: number) => times + 1, 0);
  const kept = useRef({ key, open: new OpenCalls() });
  if (kept.current.key !== key) kept.current = { key, open: new OpenCalls() };
  return { open: kept.current.open, draw: () => draw(0) };
}
