// What the Inspector's own server gives and takes. The first part says in TypeScript what views.py says in Python; a
// test holds the two against each other, name by name.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export interface ErrorView {
  kind: string;
  message: string;
  code: number | null;
  data: Json;
}

export type ServerState = "idle" | "connecting" | "ready" | "renewing" | "lost" | "failed" | "login";

export interface ServerTarget {
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  url: string;
  headers: Record<string, string>;
  host: string;
}

export interface HostServerView {
  name: string;
  target: string;
  dangers: string[];
}

export interface HostView {
  name: string;
  title: string;
  path: string;
  exists: boolean;
  servers: HostServerView[];
  problem: string;
}

export interface ConnectionSettings {
  revision: string;
  timeout: number;
  roots: string[];
  meta: JsonObject;
  logLevel: string;
  login: boolean;
  stepLogin: boolean;
  stepRounds: boolean;
  sampling: boolean;
  elicitation: boolean;
  apps: boolean;
  askAppCalls: boolean;
  extensions: JsonObject;
}

export interface ServerView {
  id: string;
  name: string;
  target: ServerTarget;
  settings: ConnectionSettings;
  state: ServerState;
  source: string;
  transcript: string | null;
  revision: string;
  era: string;
  renewals: number;
  error: ErrorView | null;
  extensions: string[];
  subscriptions: string[];
  secrets: string[];
}

export interface InfoView {
  revision: string;
  era: string;
  serverInfo: JsonObject | null;
  capabilities: JsonObject | null;
  instructions: string | null;
  clientCapabilities: JsonObject;
  warnings: string[];
  icon: number | null;
}

export type CardFactState = "same" | "differs" | "missing";
export type CardState = "found" | "absent" | "failed" | "local";

export interface CardFactView {
  fact: string;
  state: CardFactState;
  card: Json;
  server: Json;
  note: string;
}

export interface CardView {
  state: CardState;
  message: string;
  url: string;
  status: number;
  headers: Record<string, string>;
  content: Json;
  notes: FindingView[];
  facts: CardFactView[];
}

export interface ListView {
  items: JsonObject[];
  notes: Record<string, FindingView[]>;
  nextCursor: string | null;
  icons: Record<string, number>;
}

export type SkillCheckState = "passed" | "failed" | "unknown";

export interface SkillFileView {
  uri: string;
  path: string;
  digest: string;
  size: number | null;
}

export interface SkillView {
  uri: string;
  name: string;
  description: string;
  dynamic: boolean;
  size: number;
  files: SkillFileView[];
  entry: Json;
  notes: FindingView[];
}

export interface SkillListView {
  declared: boolean;
  directories: boolean;
  skills: SkillView[];
  notes: FindingView[];
  more: boolean;
}

export interface SkillCheckView {
  check: string;
  state: SkillCheckState;
  note: string;
}

export interface SkillReadView {
  uri: string;
  state: SkillCheckState;
  checks: SkillCheckView[];
  mimeType: string;
  digest: string;
  size: number;
  text: string | null;
  omitted: number;
  hidden: string[];
}

export interface SkillVerdictView {
  skill: SkillView;
  state: SkillCheckState;
  files: SkillReadView[];
  unlisted: string[];
  gone: string[];
  notes: FindingView[];
}

export type LoginParty = "client" | "server" | "authority" | "person";

export interface LoginRequestView {
  method: string;
  url: string;
  headers: Record<string, string>;
  sent: Json;
}

export interface LoginResponseView {
  status: number;
  headers: Record<string, string>;
}

export interface LoginDocumentView {
  title: string;
  content: Json;
  omitted: number;
}

export interface LoginStepView {
  id: number;
  kind: string;
  title: string;
  source: LoginParty;
  target: LoginParty;
  state: "done" | "missing" | "refused" | "failed";
  held: boolean;
  time: string;
  decision: string;
  requirement: string;
  request: LoginRequestView | null;
  response: LoginResponseView | null;
  documents: LoginDocumentView[];
}

export interface LoginView {
  server: string;
  steps: LoginStepView[];
  waiting: boolean;
  stepping: boolean;
}

export type CallKind =
  | "tool"
  | "read"
  | "prompt"
  | "complete"
  | "request"
  | "subscribe"
  | "unsubscribe"
  | "log-level"
  | "ping";
export type CallState = "running" | "done" | "failed" | "cancelled";

export interface ProgressView {
  at: number;
  progress: number;
  total: number | null;
  message: string;
}

export interface CallView {
  id: string;
  server: string;
  kind: CallKind;
  method: string;
  name: string;
  params: JsonObject;
  state: CallState;
  began: string;
  seconds: number | null;
  progress: ProgressView[];
  result: Json;
  error: ErrorView | null;
  checked: boolean;
  problem: string;
  task: string;
  records: number[];
}

export type QuestionKind = "form" | "visit" | "sampling" | "roots" | "round" | "login" | "app-call" | "app-link";

export interface QuestionView {
  id: string;
  server: string;
  kind: QuestionKind;
  asked: string;
  call: string | null;
  message: string;
  schema: JsonObject | null;
  url: string;
  host: string;
  params: JsonObject | null;
}

export type AppState = "loading" | "running" | "closing" | "closed";
export type AppSender = "view" | "host" | "browser";

export interface AppView {
  id: string;
  server: string;
  call: string;
  tool: string;
  uri: string;
  state: AppState;
  frame: string;
  allow: string;
  policy: string;
  declared: boolean;
  permissions: string[];
  refused: string[];
  blocked: string[];
  prefersBorder: boolean | null;
  mode: "inline" | "fullscreen";
  modes: string[];
  width: number | null;
  height: number | null;
  app: JsonObject;
  context: Json;
  notes: string[];
  dropped: number;
  reason: string;
}

export interface AppMessageView {
  app: string;
  n: number;
  time: string;
  sender: AppSender;
  method: string;
  id: Json;
  size: number;
  message: Json;
  omitted: boolean;
  note: string;
}

export type RecordKind =
  | "request"
  | "notification"
  | "response"
  | "error"
  | "batch"
  | "http"
  | "text"
  | "omitted"
  | "mark"
  | "stderr";
export type Severity = "error" | "warning" | "hint";

export interface FindingView {
  rule: string;
  severity: Severity;
  what: string;
  where: string;
  requirement: string;
  page: string;
  sender: string;
  about: number;
}

export interface RuleView {
  rule: string;
  severity: Severity;
  what: string;
  requirement: string;
  page: string;
  count: number;
  records: number[];
}

export interface RecordView {
  n: number;
  seconds: number;
  time: string;
  link: number;
  transport: string;
  sender: string;
  kind: RecordKind;
  revision: string;
  method: string;
  id: Json;
  name: string;
  pair: number;
  latency: number | null;
  group: number;
  size: number;
  summary: string;
  exchange: number;
  httpMethod: string;
  target: string;
  status: number;
  event: string;
  end: string;
  findings: Severity | "";
}

export interface RecordDetail {
  record: RecordView;
  headers: Record<string, string>;
  text: string;
  value: Json;
  truncated: number;
  findings: FindingView[];
  draft: JsonObject | null;
}

export interface RecordsPage {
  records: RecordView[];
  total: number;
}

export interface TranscriptView {
  id: string;
  name: string;
  began: string;
  count: number;
  live: boolean;
  server: string | null;
  place: string;
  redacted: boolean;
  findings: Record<string, number>;
}

export interface StateView {
  version: string;
  revisions: string[];
  servers: ServerView[];
  transcripts: TranscriptView[];
  questions: QuestionView[];
  calls: CallView[];
  logs: LogLine[];
  seq: number;
}

// What only travels: parts of requests, and events.

export interface ServerDraft {
  name?: string;
  target?: Partial<ServerTarget>;
  settings?: Partial<ConnectionSettings>;
  connect?: boolean;
}

export interface CallDraft {
  kind: CallKind;
  name?: string;
  arguments?: JsonObject;
  uri?: string;
  level?: string;
  method?: string;
  params?: JsonObject;
  ref?: string;
  argument?: { name: string; value: string };
  context?: Record<string, string>;
  meta?: JsonObject;
  asTask?: boolean;
  timeout?: number;
}

/** What is around a view where it is seen. */
export interface AppSurroundings {
  theme: "light" | "dark";
  width: number;
  height: number;
  locale: string;
  timeZone: string;
  touch: boolean;
  hover: boolean;
}

/** What a view said since the last time: each message as JSON. */
export interface AppCarried {
  messages: string[];
  /** Lengths of those that are too long to be carried. */
  tooLong: number[];
  /** How many came faster than they could be carried. */
  missed: number;
}

export interface Change {
  server: string;
  what: "tools" | "resources" | "prompts" | "resource";
  uri: string;
}

export interface LogLine {
  server: string;
  level: string;
  logger: string | null;
  data: Json;
  time: string;
}

export interface Events {
  server: ServerView;
  "server-removed": { id: string };
  "servers-ordered": { ids: string[] };
  transcript: TranscriptView;
  "transcript-removed": { id: string };
  /** `records` is empty where many came at once: `count` says up to which number they are there to be fetched. */
  records: { transcript: string; records: RecordView[]; changed: RecordView[]; count: number };
  question: QuestionView;
  "question-closed": { id: string };
  call: CallView;
  changed: Change;
  log: LogLine;
  login: LoginView;
  app: AppView;
  "app-message": AppMessageView;
  reset: Record<string, never>;
}

/** A request that failed: `view` says what the Inspector said of it. */
export class Failed extends Error {
  readonly view: ErrorView;
  readonly status: number;

  constructor(view: ErrorView, status: number) {
    super(view.message);
    this.view = view;
    this.status = status;
  }
}

/** What is shown of anything that was thrown. */
export function errorView(problem: unknown): ErrorView {
  if (problem instanceof Failed) return problem.view;
  const message = problem instanceof Error ? problem.message : String(problem);
  return { kind: problem instanceof Error ? problem.name : "Error", message, code: null, data: null };
}

async function failure(response: Response): Promise<Failed> {
  const text = await response.text();
  try {
    const body = JSON.parse(text) as { error?: ErrorView };
    if (body.error) return new Failed(body.error, response.status);
  } catch {
    // Not of the Inspector's making: said below with what came.
  }
  const message = `The Inspector answered with HTTP ${response.status}: ${text.slice(0, 300) || response.statusText}`;
  return new Failed({ kind: "HTTP", message, code: null, data: null }, response.status);
}

/** Ask the Inspector; throws `Failed`. `body` is sent as JSON, unless it is a Blob, which is sent as it is. */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, credentials: "same-origin", cache: "no-store" };
  if (signal) init.signal = signal;
  if (body instanceof Blob) {
    init.body = body;
    init.headers = { "content-type": "application/octet-stream" };
  } else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (problem) {
    if (signal?.aborted) throw problem;
    const message = "The Inspector does not answer: is `dovetail inspect` still running?";
    throw new Failed({ kind: "NoAnswer", message, code: null, data: null }, 0);
  }
  if (!response.ok) throw await failure(response);
  return (await response.json()) as T;
}

export const get = <T>(path: string, signal?: AbortSignal) => ask<T>("GET", path, undefined, signal);
export const post = <T>(path: string, body: unknown = {}) => ask<T>("POST", path, body);
export const put = <T>(path: string, body: unknown = {}) => ask<T>("PUT", path, body);
export const patch = <T>(path: string, body: unknown = {}) => ask<T>("PATCH", path, body);
export const remove = <T>(path: string) => ask<T>("DELETE", path);

const part = encodeURIComponent;
/** The address of a server's part of the API, such as `serverPath(id, "tools")`. */
export const serverPath = (id: string, ...rest: string[]) => ["/api/servers", ...[id, ...rest].map(part)].join("/");
/** The address of a transcript's part of the API. */
export const transcriptPath = (id: string, ...rest: string[]) =>
  ["/api/transcripts", ...[id, ...rest].map(part)].join("/");

export const api = {
  open: (token: string) => post<unknown>("/api/session", { token }),
  state: () => get<StateView>("/api/state"),
  addServer: (draft: ServerDraft) => post<ServerView>("/api/servers", draft),
  changeServer: (id: string, draft: ServerDraft) => patch<ServerView>(serverPath(id), draft),
  removeServer: (id: string) => remove<unknown>(serverPath(id)),
  connect: (id: string) => post<ServerView>(serverPath(id, "connect")),
  login: (id: string) => get<LoginView>(serverPath(id, "login")),
  stepLogin: (id: string, run = false) => post<LoginView>(serverPath(id, "login", "step"), { run }),
  resetLogin: (id: string) => post<LoginView>(serverPath(id, "login", "reset")),
  disconnect: (id: string) => post<ServerView>(serverPath(id, "disconnect")),
  info: (id: string) => get<InfoView>(serverPath(id, "info")),
  card: (id: string, url = "") => post<CardView>(serverPath(id, "card"), { url }),
  keepSecret: (id: string, name: string, value: string) => post<ServerView>(serverPath(id, "secrets"), { name, value }),
  forgetSecret: (id: string, name: string) => remove<ServerView>(serverPath(id, "secrets", name)),
  moveServer: (id: string, by: number) => post<unknown>(serverPath(id, "move"), { by }),
  list: (id: string, what: string) => get<ListView>(serverPath(id, what)),
  listPage: (id: string, what: string, cursor: string | null) =>
    get<ListView>(`${serverPath(id, what)}?page=1${cursor === null ? "" : `&cursor=${part(cursor)}`}`),
  call: (id: string, draft: CallDraft) => post<CallView>(serverPath(id, "calls"), draft),
  callView: (id: string) => get<CallView>(`/api/calls/${part(id)}`),
  cancel: (id: string) => post<CallView>(`/api/calls/${part(id)}/cancel`),
  answer: (id: string, action: "accept" | "decline" | "cancel", content?: Json) =>
    post<unknown>(`/api/questions/${part(id)}`, content === undefined ? { action } : { action, content }),
  record: (transcript: string, n: number) => get<RecordDetail>(transcriptPath(transcript, "records", String(n))),
  records: (transcript: string, start: number, limit: number, query = "", signal?: AbortSignal) =>
    get<RecordsPage>(
      `${transcriptPath(transcript, "records")}?start=${start}&limit=${limit}&query=${part(query)}`,
      signal,
    ),
  hosts: () => get<{ hosts: HostView[] }>("/api/hosts"),
  importServer: (host: string, name: string) => post<ServerView>("/api/servers/import", { host, name }),
};

const FIRST_WAIT = 300;
const LONGEST_WAIT = 5000;

export interface EventHandlers {
  /** An event came; `name` and `data` belong together as `Events` says. */
  event: <N extends keyof Events>(name: N, data: Events[N]) => void;
  /** The stream is there, or was lost and is being opened again. */
  live: (live: boolean) => void;
}

const NAMES: (keyof Events)[] = [
  "server",
  "server-removed",
  "servers-ordered",
  "transcript",
  "transcript-removed",
  "records",
  "question",
  "question-closed",
  "call",
  "changed",
  "log",
  "login",
  "app",
  "app-message",
  "reset",
];

/** Follow the events after `seq`, and go on after the last one that came whenever the stream is lost. Gives what ends it. */
export function follow(seq: number, handlers: EventHandlers): () => void {
  let last = String(seq);
  let wait = FIRST_WAIT;
  let timer = 0;
  let source: EventSource;
  const open = () => {
    source = new EventSource(`/api/events?after=${part(last)}`);
    source.onopen = () => {
      wait = FIRST_WAIT;
      handlers.live(true);
    };
    // The browser's own repetition would ask with the first number again, and gives up at a status.
    source.onerror = () => {
      source.close();
      handlers.live(false);
      timer = window.setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    };
    for (const name of NAMES) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        if (event.lastEventId) last = event.lastEventId;
        handlers.event(name, JSON.parse(event.data) as Events[typeof name]);
      });
    }
  };
  open();
  return () => {
    window.clearTimeout(timer);
    source.close();
  };
}
