// Deep links: the fragment of the address says what is seen. `#/s/ID/tools/NAME` is a view of a server, `#/t/ID/...` of
// a transcript, `#/a/...` of everything; `#/` is the overview. `?beside=` has the address of a second pane.

import { computed, signal } from "@preact/signals";

export interface Route {
  /** "s": a server, "t": a transcript, "a": everything, "": the overview. */
  kind: "s" | "t" | "a" | "";
  /** Of the server or transcript; "" else. */
  id: string;
  /** The id of the view; "" for the first one. */
  view: string;
  /** What follows, decoded. */
  rest: string[];
  query: URLSearchParams;
}

/** The fragment, from its first slash on. */
export const address = signal(current());

function current(): string {
  return location.hash.startsWith("#/") ? location.hash.slice(1) : "/";
}

window.addEventListener("hashchange", () => {
  address.value = current();
});

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** What an address says. */
export function parse(text: string): Route {
  const [path = "", search = ""] = text.split(/\?(.*)/s);
  const parts = path.split("/").slice(1).map(decoded);
  const query = new URLSearchParams(search);
  const [kind, first = "", second = "", ...rest] = parts;
  if (kind === "s" || kind === "t") return { kind, id: first, view: second, rest, query };
  if (kind === "a") return { kind, id: "", view: first, rest: [second, ...rest].filter(Boolean), query };
  return { kind: "", id: "", view: "", rest: [], query };
}

/** The address of parts, such as `path("s", id, "tools", name)`. */
export function path(...parts: string[]): string {
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

/** A path with a query; members that are "" are left out. */
export function withQuery(base: string, query: Record<string, string>): string {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return search ? `${base}?${search}` : base;
}

/** The addresses of the panes that are seen: one or two. */
export const panes = computed<string[]>(() => {
  const beside = parse(address.value).query.get("beside");
  return beside ? [without(address.value), beside] : [address.value];
});

function without(text: string): string {
  const [base = "/", search = ""] = text.split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  query.delete("beside");
  return query.size ? `${base}?${query}` : base;
}

/** Show an address in a pane. `replace`: without a step in the history. */
export function go(to: string, pane = 0, replace = false): void {
  const shown = panes.value.slice();
  shown[pane] = without(to);
  const [first = "/", second] = shown;
  const next = second ? `${first}${first.includes("?") ? "&" : "?"}beside=${encodeURIComponent(second)}` : first;
  if (replace) history.replaceState(null, "", `#${next}`);
  else history.pushState(null, "", `#${next}`);
  address.value = next;
}

window.addEventListener("popstate", () => {
  address.value = current();
});

/** Close a pane: the other one is all that is seen. */
export function closePane(pane: number): void {
  const left = panes.value[1 - pane] ?? "/";
  history.pushState(null, "", `#${left}`);
  address.value = left;
}
