// Relays between a host and a server that this Inspector can steer, and the faults that are in force there; a fault is
// written as on the command line.

import { get, post, remove } from "../api.ts";

export interface FaultView {
  /** For the whole Inspector. */
  id: string;
  /** As on the command line: `delay seconds=0.5 method=tools/call`. */
  words: string;
  /** Messages that fitted it, and how many of them it struck. */
  matched: number;
  struck: number;
}

export interface RelayView {
  name: string;
  process: number;
  began: string;
  target: string;
  transport: string;
  url: string;
  /** Which entry of which host's configuration started it; both empty where nobody said. */
  host: string;
  server: string;
  /** The id of its conversation here; null where it is not looked at. */
  transcript: string | null;
  faults: FaultView[];
  /** Why it can't be steered; "" when it can. */
  problem: string;
}

export interface FaultsView {
  relays: RelayView[];
}

export const loadFaults = () => get<FaultsView>("/api/faults");
export const addFault = (relay: string, words: string) => post<FaultsView>("/api/faults", { relay, words });
export const removeFault = (id: string) => remove<FaultsView>(`/api/faults/${encodeURIComponent(id)}`);

export interface Member {
  readonly name: string;
  readonly says: string;
  readonly example: string;
}

export interface FaultKind {
  readonly kind: string;
  readonly says: string;
  readonly http?: true;
  readonly members: readonly Member[];
}

const member = (name: string, says: string, example = ""): Member => ({ name, says, example });

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    kind: "delay",
    says: "a message is held back",
    members: [
      member("seconds", "for so long", "0.5"),
      member("up_to", "or for a random time up to this"),
      member("overtaken", "what comes after it does not wait", "true"),
    ],
  },
  { kind: "drop", says: "a message goes nowhere", members: [] },
  { kind: "duplicate", says: "a message goes several times", members: [member("copies", "so often (2)")] },
  {
    kind: "reorder",
    says: "a message goes after later ones",
    members: [member("behind", "after so many (1)"), member("seconds", "or after so long (5)")],
  },
  {
    kind: "status",
    says: "an HTTP request is refused",
    http: true,
    members: [member("status", "with this status (401)", "401"), member("text", "and this body")],
  },
  {
    kind: "error",
    says: "a request is answered with an error, and never reaches the server",
    members: [member("code", "of JSON-RPC (-32603)"), member("message", "its words")],
  },
  {
    kind: "cut",
    says: "the connection breaks off",
    members: [member("events", "after so many events of a stream"), member("bytes", "after so many bytes")],
  },
  { kind: "truncate", says: "only the beginning of a message goes", members: [member("bytes", "so much of it (half)")] },
  { kind: "wrong-id", says: "a message has another id", members: [member("id", 'this one ("wrong")')] },
  {
    kind: "header",
    says: "an HTTP header is another, or missing",
    http: true,
    members: [member("name", "its name", "mcp-session-id"), member("value", "what it says (missing)")],
  },
  {
    kind: "drip",
    says: "a message goes in pieces",
    members: [member("bytes", "of so many bytes (1)"), member("seconds", "with so long between them (0.01)")],
  },
  { kind: "half-close", says: "after the message its sender is heard no more", members: [] },
  { kind: "disconnect", says: "in place of the message the connection ends", members: [] },
  { kind: "oversize", says: "a message is made long", members: [member("bytes", "so long (68157440)")] },
  { kind: "invalid-utf8", says: "a message has a byte that UTF-8 never has", members: [] },
  {
    kind: "change",
    says: "what stands at a place is another, or missing",
    members: [member("pointer", "a JSON pointer", "/result/content/0/text"), member("value", "JSON (missing)")],
  },
];

/** Which messages any fault strikes. */
export const MATCHER: readonly Member[] = [
  member("method", "of this method, * for anything", "tools/call"),
  member("tool", "calls of this tool"),
  member("nth", "only the so-manieth"),
  member("times", "at most so many"),
  member("share", "this part of them, by chance", "0.1"),
  member("seed", "of that chance"),
];

/** A fault in words; members without a value are left out. */
export function wordsOf(kind: string, members: Readonly<Record<string, string>>): string {
  const given = Object.entries(members).filter(([, value]) => value !== "");
  return [kind, ...given.map(([name, value]) => quoted(`${name}=${value}`))].join(" ");
}

/** Quoted as a shell would have it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
