// A record, fetched when it is looked at.

import { useEffect, useState } from "preact/hooks";
import { api, errorView, type ErrorView, type RecordDetail } from "../api.ts";
import { hear } from "../store.ts";

const MOST = 200;
const kept = new Map<string, RecordDetail>();

export interface Fetched {
  detail: RecordDetail | null;
  error: ErrorView | null;
}

/** The record with a number; anew when the record changes. 0 is none. */
export function useDetail(transcript: string, n: number): Fetched {
  const key = `${transcript}/${n}`;
  const [fetched, set] = useState<Fetched & { key: string }>({ key: "", detail: null, error: null });
  useEffect(() => {
    if (!n) return;
    let here = true;
    const load = () =>
      api.record(transcript, n).then(
        (detail) => {
          keep(key, detail);
          if (here) set({ key, detail, error: null });
        },
        (problem: unknown) => here && set({ key, detail: null, error: errorView(problem) }),
      );
    const had = kept.get(key);
    if (had) set({ key, detail: had, error: null });
    void load();
    const end = hear("records", (news) => {
      if (news.transcript === transcript && news.changed.some((each) => each.n === n)) void load();
    });
    return () => {
      here = false;
      end();
    };
  }, [key]);
  return fetched.key === key ? fetched : { detail: kept.get(key) ?? null, error: null };
}

function keep(key: string, detail: RecordDetail): void {
  kept.delete(key);
  kept.set(key, detail);
  const oldest = kept.keys().next().value;
  if (kept.size > MOST && oldest !== undefined) kept.delete(oldest);
}
