// Calls as the page makes them: asked for, kept in the store, and followed to their end.

import { effect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, errorView, type CallDraft, type CallView, type ErrorView, type ListView } from "../api.ts";
import { callById, calls, hear, put, serverById } from "../store.ts";

/** Begin a call; its further states come as events. */
export async function begin(server: string, draft: CallDraft): Promise<CallView> {
  const call = await api.call(server, draft);
  // An event may have been faster than the answer, and says more.
  if (!callById.value.has(call.id)) put(calls, call);
  return call;
}

/** Wait for the end of a call. */
export function ended(id: string): Promise<CallView> {
  return new Promise((resolve) => {
    let stop = () => {};
    stop = effect(() => {
      const call = callById.value.get(id);
      if (!call || call.state === "running") return;
      resolve(call);
      queueMicrotask(() => stop());
    });
  });
}

/** Ask for completions of an argument; none where the server has none or fails. */
export async function completions(
  server: string,
  ref: string,
  name: string,
  typed: string,
  context: Record<string, string>,
): Promise<string[]> {
  try {
    const begun = await begin(server, { kind: "complete", ref, argument: { name, value: typed }, context });
    const call = await ended(begun.id);
    const result = call.result as { completion?: { values?: unknown } } | null;
    const values = result?.completion?.values;
    return Array.isArray(values) ? values.filter((each): each is string => typeof each === "string") : [];
  } catch {
    // Completing is a help while typing: the call stands in the conversation with what went wrong.
    return [];
  }
}

/** How far a list is that is looked at one page at a time. */
export interface Paging {
  on: boolean;
  pages: number;
  turn: () => void;
  next: () => void;
}

export interface Listed {
  list: ListView | null;
  error: ErrorView | null;
  loading: boolean;
  reload: () => void;
  paging?: Paging;
}

interface Shown {
  of: string;
  list: ListView | null;
  error: ErrorView | null;
  loading: boolean;
  pages: number;
}

/** A list and the page after it, whose notes and icons are by the places that its entries have there. */
export function appended(list: ListView, page: ListView): ListView {
  const moved = <T>(of: Record<string, T>): Record<string, T> =>
    Object.fromEntries(Object.entries(of).map(([at, each]) => [String(Number(at) + list.items.length), each]));
  return {
    items: [...list.items, ...page.items],
    notes: { ...list.notes, ...moved(page.notes) },
    nextCursor: page.nextCursor,
    icons: { ...list.icons, ...moved(page.icons) },
  };
}

/** Everything of one kind that a server lists, kept as it is there now; or its pages, as far as they were asked for. */
export function useList(server: string, what: "tools" | "resources" | "templates" | "prompts"): Listed {
  const [shown, show] = useState<Shown>({ of: "", list: null, error: null, loading: true, pages: 0 });
  const [turn, again] = useState(0);
  const [paged, page] = useState(false);
  const ready = serverById.value.get(server)?.state === "ready";
  const of = `${server}/${what}/${paged}`;
  const fails = (problem: unknown) =>
    show((old) => (old.of === of ? { ...old, error: errorView(problem), loading: false } : old));
  useEffect(() => {
    if (!ready) return;
    let here = true;
    show((old) => ({ of, list: old.of === of ? old.list : null, error: null, loading: true, pages: 0 }));
    (paged ? api.listPage(server, what, null) : api.list(server, what)).then(
      (list) => here && show({ of, list, error: null, loading: false, pages: 1 }),
      (problem: unknown) => here && show({ of, list: null, error: errorView(problem), loading: false, pages: 0 }),
    );
    return () => {
      here = false;
    };
  }, [of, ready, turn]);
  useEffect(() => {
    const changed = what === "templates" ? "resources" : what;
    return hear("changed", (change) => {
      if (change.server === server && change.what === changed) again((n) => n + 1);
    });
  }, [of]);
  const mine = shown.of === of;
  const next = () => {
    const before = shown.list;
    if (!mine || shown.loading || !before || before.nextCursor === null) return;
    show({ ...shown, error: null, loading: true });
    api.listPage(server, what, before.nextCursor).then(
      (list) =>
        show((old) =>
          old.of === of && old.list === before
            ? { ...old, list: appended(before, list), loading: false, pages: old.pages + 1 }
            : old,
        ),
      fails,
    );
  };
  return {
    list: mine ? shown.list : null,
    error: mine ? shown.error : null,
    loading: !mine || shown.loading,
    reload: () => again((n) => n + 1),
    paging: { on: paged, pages: shown.pages, turn: () => page(!paged), next },
  };
}
