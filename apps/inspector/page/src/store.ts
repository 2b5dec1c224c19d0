// What the page knows, as signals: filled from the state once, and kept right by events.

import { batch, computed, signal, type Signal } from "@preact/signals";
import {
  api,
  errorView,
  Failed,
  follow,
  type AppMessageView,
  type AppView,
  type CallView,
  type Change,
  type ErrorView,
  type Events,
  type LoginView,
  type LogLine,
  type QuestionView,
  type ServerView,
  type StateView,
  type TranscriptView,
} from "./api.ts";

const MOST_LOGS = 5000;
const MOST_CALLS = 1000;

/** "closed": the page has no leave to look (another token is needed); "lost": the Inspector does not answer just now. */
export type Connection = "opening" | "live" | "lost" | "closed";

export const connection = signal<Connection>("opening");
/** Why the page could not be opened. */
export const opening = signal<ErrorView | null>(null);
export const version = signal("");
export const revisions = signal<string[]>([]);
export const servers = signal<ServerView[]>([]);
export const transcripts = signal<TranscriptView[]>([]);
export const questions = signal<QuestionView[]>([]);
/** Newest last. */
export const calls = signal<CallView[]>([]);
/** Newest last; all servers. */
export const logs = signal<LogLine[]>([]);

export const serverById = computed(() => new Map(servers.value.map((each) => [each.id, each])));
export const transcriptById = computed(() => new Map(transcripts.value.map((each) => [each.id, each])));
export const callById = computed(() => new Map(calls.value.map((each) => [each.id, each])));

type Heard = {
  records: Events["records"];
  changed: Change;
  login: LoginView;
  app: AppView;
  "app-message": AppMessageView;
  reset: null;
};
const hearers: { [N in keyof Heard]: Set<(data: Heard[N]) => void> } = {
  records: new Set(),
  changed: new Set(),
  login: new Set(),
  app: new Set(),
  "app-message": new Set(),
  reset: new Set(),
};

/** Hear of new or changed records, of changed lists and resources, of steps of logins, of views of apps and what passes
 * between them and their host, or that all was loaded anew. Gives what ends it. */
export function hear<N extends keyof Heard>(name: N, hearer: (data: Heard[N]) => void): () => void {
  hearers[name].add(hearer);
  return () => void hearers[name].delete(hearer);
}

/** Put a value into a list in place of the one with its id, or at the end. */
export function put<T extends { id: string }>(list: Signal<T[]>, value: T, most = Infinity): void {
  const at = list.value.findIndex((each) => each.id === value.id);
  const rest = list.value.slice();
  if (at < 0) rest.push(value);
  else rest[at] = value;
  list.value = rest.length > most ? rest.slice(rest.length - most) : rest;
}

/** Take the value with an id out of a list. */
export function drop<T extends { id: string }>(list: Signal<T[]>, id: string): void {
  list.value = list.value.filter((each) => each.id !== id);
}

function happen<N extends keyof Events>(name: N, data: Events[N]): void {
  const take: { [M in keyof Events]: (data: Events[M]) => void } = {
    server: (each) => put(servers, each),
    "server-removed": ({ id }) => drop(servers, id),
    "servers-ordered": ({ ids }) => {
      servers.value = servers.value.slice().sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
    },
    transcript: (each) => put(transcripts, each),
    "transcript-removed": ({ id }) => drop(transcripts, id),
    records: (some) => hearers.records.forEach((hearer) => hearer(some)),
    question: (each) => put(questions, each),
    "question-closed": ({ id }) => drop(questions, id),
    call: (each) => put(calls, each, MOST_CALLS),
    changed: (change) => hearers.changed.forEach((hearer) => hearer(change)),
    log: (line) => {
      logs.value = [...logs.value.slice(-(MOST_LOGS - 1)), line];
    },
    login: (some) => hearers.login.forEach((hearer) => hearer(some)),
    app: (some) => hearers.app.forEach((hearer) => hearer(some)),
    "app-message": (some) => hearers["app-message"].forEach((hearer) => hearer(some)),
    reset: () => void start(),
  };
  take[name](data);
}

function fill(state: StateView): void {
  batch(() => {
    version.value = state.version;
    revisions.value = state.revisions;
    servers.value = state.servers;
    transcripts.value = state.transcripts;
    questions.value = state.questions;
    calls.value = state.calls;
    logs.value = state.logs.slice(-MOST_LOGS);
    opening.value = null;
  });
}

let stop: (() => void) | null = null;

/** Load all that there is, and follow what happens from there on. */
export async function start(): Promise<void> {
  stop?.();
  stop = null;
  let state: StateView;
  try {
    state = await api.state();
  } catch (problem) {
    connection.value = problem instanceof Failed && problem.status === 401 ? "closed" : "lost";
    opening.value = errorView(problem);
    return;
  }
  fill(state);
  connection.value = "live";
  hearers.reset.forEach((hearer) => hearer(null));
  stop = follow(state.seq, { event: happen, live: lostOrLive });
}

function lostOrLive(live: boolean): void {
  const before = connection.value;
  connection.value = live ? "live" : "lost";
  if (live || before === "lost") return;
  // A stream that ended because the page has no leave any more does not come back by itself.
  api.state().catch((problem: unknown) => {
    if (problem instanceof Failed && problem.status === 401) {
      stop?.();
      connection.value = "closed";
      opening.value = errorView(problem);
    }
  });
}
