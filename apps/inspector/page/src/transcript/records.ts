// The records of a conversation that fit a query, kept right while more comes.

import { useEffect, useReducer, useState } from "preact/hooks";
import { api, type RecordView } from "../api.ts";
import { hear } from "../store.ts";
import { Blocks } from "./blocks.ts";

const SOON = 400;
/** A search that takes long is not made again at once. */
const PATIENCE = 4;

export interface Records {
  readonly blocks: Blocks<RecordView>;
  /** Until it is known how many there are. */
  readonly opening: boolean;
}

/** Records from the conversation with an id; all of them for an empty query. */
export function useRecords(transcript: string, query: string): Records {
  const [, draw] = useReducer((times: number) => times + 1, 0);
  const [again, reset] = useReducer((times: number) => times + 1, 0);
  const [records, setRecords] = useState<{ key: string; blocks: Blocks<RecordView>; opening: boolean }>();
  const key = JSON.stringify([transcript, query, again]);
  useEffect(() => {
    const plain = query.trim() === "";
    const blocks = new Blocks<RecordView>(async (start, limit, signal) => {
      const page = await api.records(transcript, start + 1, limit, query, signal);
      return { items: page.records, total: page.total };
    }, () => draw(0));
    let timer = 0;
    let took = 0;
    const more = () => {
      timer = 0;
      const began = performance.now();
      void blocks.open(Math.max(blocks.total - 1, 0)).then(() => {
        took = performance.now() - began;
      });
    };
    const ends = [
      hear("reset", () => reset(0)),
      hear("records", (news) => {
        if (news.transcript !== transcript) return;
        const put = new Map([...news.changed, ...news.records].map((each) => [each.n, each]));
        blocks.replace((each) => put.get(each.n));
        if (plain) add(blocks, news.records, news.count);
        else if (!timer) timer = window.setTimeout(more, Math.max(SOON, took * PATIENCE));
      }),
    ];
    setRecords({ key, blocks, opening: true });
    void blocks.open().then(() => setRecords((before) => (before?.blocks === blocks ? { key, blocks, opening: false } : before)));
    return () => {
      blocks.close();
      window.clearTimeout(timer);
      ends.forEach((end) => end());
    };
  }, [key]);
  if (records?.key === key) return records;
  return { blocks: NOTHING, opening: true };
}

const NOTHING = new Blocks<RecordView>(
  () => Promise.resolve({ items: [], total: 0 }),
  () => undefined,
);

/** The place of a record in a whole conversation is its number less one. */
function add(blocks: Blocks<RecordView>, records: readonly RecordView[], count: number): void {
  const news = records.filter((each) => each.n > blocks.total);
  const whole = news.every((each, index) => each.n === blocks.total + index + 1);
  if (whole) blocks.append(news);
  if (count > blocks.total) blocks.grow(count);
}
