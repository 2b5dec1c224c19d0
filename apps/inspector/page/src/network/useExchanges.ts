// The exchanges of a conversation: the newest first, more when somebody wants them.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { api, errorView, type ErrorView } from "../api.ts";
import { hear } from "../store.ts";
import { Exchanges } from "./exchanges.ts";

/** Records that are fetched at once, and at first. */
const SLICE = 1000;
const AT_FIRST = 4000;
const QUERY = "is:http";
/** Milliseconds after which they are fetched where many came at once. */
const AGAIN = 500;

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
  const state = useRef({ exchanges: new Exchanges(), start: 0, known: 0, busy: true, abort: new AbortController() });
  /** Whether they are here now. */
  const load = async (from: number, to: number): Promise<boolean> => {
    const { exchanges, abort } = state.current;
    state.current.busy = true;
    draw(0);
    try {
      for (let start = from; start < to; start += SLICE) {
        const page = await api.records(transcript, start + 1, Math.min(SLICE, to - start), QUERY, abort.signal);
        exchanges.add(page.records);
      }
      if (abort.signal.aborted) return false;
      fail(null);
    } catch (problem) {
      if (abort.signal.aborted) return false;
      fail(errorView(problem));
      return false;
    } finally {
      if (!abort.signal.aborted) state.current.busy = false;
      draw(0);
    }
    return true;
  };
  useEffect(() => {
    const abort = new AbortController();
    state.current = { exchanges: new Exchanges(), start: 0, known: 0, busy: true, abort };
    let timer = 0;
    /** The newest of those that are not known yet: of many, the others can be asked for as the earlier ones. */
    const open = async () => {
      try {
        const { total } = await api.records(transcript, 1, 0, QUERY, abort.signal);
        if (abort.signal.aborted) return;
        const from = Math.max(total - AT_FIRST, state.current.known);
        const gap = from > state.current.known;
        if (await load(from, total)) {
          if (gap) state.current.start = from;
          state.current.known = total;
          draw(0);
        }
      } catch (problem) {
        if (abort.signal.aborted) return;
        state.current.busy = false;
        fail(errorView(problem));
      }
      timer = 0;
    };
    void open();
    const ends = [
      hear("reset", () => reset(0)),
      hear("records", (news) => {
        if (news.transcript !== transcript) return;
        if (!news.records.length && !timer) timer = window.setTimeout(() => void open(), AGAIN);
        state.current.exchanges.add([...news.records, ...news.changed.filter((each) => state.current.exchanges.get(each.exchange))]);
        draw(0);
      }),
    ];
    return () => {
      abort.abort();
      window.clearTimeout(timer);
      ends.forEach((end) => end());
    };
  }, [transcript, again]);
  const { exchanges, start, busy } = state.current;
  const earlier = () => {
    const from = Math.max(start - AT_FIRST, 0);
    void load(from, start).then((done) => {
      if (!done) return;
      state.current.start = from;
      draw(0);
    });
  };
  return { exchanges, before: start, busy, error, earlier };
}
