// The exchanges of a conversation: the newest first, more when somebody wants them.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { api, errorView, type ErrorView } from "../api.ts";
import { hear } from "../store.ts";
import { Exchanges } from "./exchanges.ts";

/** Records that are fetched at once, and at first. */
const SLICE = 1000;
const AT_FIRST = 4000;
const QUERY = "is:http";

export interface Fetching {
  exchanges: Exchanges;
  /** Records before those that are here. */
  before: number;
  busy: boolean;
  error: ErrorView | null;
  earlier: () => void;
}

export function useExchanges(transcript: string): Fetching {
  const [, draw] = useReducer((times: number) => times + 1, 0);
  const [again, reset] = useReducer((times: number) => times + 1, 0);
  const [error, fail] = useState<ErrorView | null>(null);
  const state = useRef({ exchanges: new Exchanges(), start: 0, busy: true, abort: new AbortController() });
  const load = async (from: number, to: number) => {
    const { exchanges, abort } = state.current;
    state.current.busy = true;
    draw(0);
    try {
      for (let start = from; start < to; start += SLICE) {
        const page = await api.records(transcript, start + 1, Math.min(SLICE, to - start), QUERY, abort.signal);
        exchanges.add(page.records);
      }
      if (abort.signal.aborted) return;
      state.current.start = from;
      fail(null);
    } catch (problem) {
      if (abort.signal.aborted) return;
      fail(errorView(problem));
    }
    state.current.busy = false;
    draw(0);
  };
  useEffect(() => {
    const abort = new AbortController();
    state.current = { exchanges: new Exchanges(), start: 0, busy: true, abort };
    const open = async () => {
      const { total } = await api.records(transcript, 1, 0, QUERY, abort.signal);
      if (!abort.signal.aborted) await load(Math.max(total - AT_FIRST, 0), total);
    };
    open().catch((problem: unknown) => {
      if (abort.signal.aborted) return;
      state.current.busy = false;
      fail(errorView(problem));
    });
    const ends = [
      hear("reset", () => reset(0)),
      hear("records", (news) => {
        if (news.transcript !== transcript) return;
        state.current.exchanges.add([...news.records, ...news.changed.filter((each) => state.current.exchanges.get(each.exchange))]);
        draw(0);
      }),
    ];
    return () => {
      abort.abort();
      ends.forEach((end) => end());
    };
  }, [transcript, again]);
  const { exchanges, start, busy } = state.current;
  const earlier = () => void load(Math.max(start - AT_FIRST, 0), start);
  return { exchanges, before: start, busy, error, earlier };
}
