// HTTP exchanges, made of the records that belong to each: a request, its response, the events of its stream. Records
// may come in any order and again.

import type { RecordView } from "../api.ts";

export interface Exchange {
  readonly number: number;
  readonly link: number;
  /** The record with the request; null while it is not known (a capture of which only the end is here). */
  readonly request: RecordView | null;
  /** The record with the status. */
  readonly response: RecordView | null;
  /** Events of the stream, and whatever else was said in it, in order. */
  readonly events: readonly RecordView[];
  readonly method: string;
  readonly target: string;
  readonly status: number;
  /** Seconds since the conversation began. */
  readonly start: number;
  /** When the response ended; null while it has not. */
  readonly end: number | null;
  readonly broken: boolean;
  readonly size: number;
  /** What was asked: the method of the message in the request. */
  readonly about: string;
}

export class Exchanges {
  readonly #records = new Map<number, Map<number, RecordView>>();
  readonly #made = new Map<number, Exchange>();

  get count(): number {
    return this.#records.size;
  }

  add(records: Iterable<RecordView>): void {
    for (const record of records) {
      if (!record.exchange) continue;
      let members = this.#records.get(record.exchange);
      if (!members) this.#records.set(record.exchange, (members = new Map()));
      members.set(record.n, record);
      this.#made.delete(record.exchange);
    }
  }

  get(number: number): Exchange | undefined {
    let made = this.#made.get(number);
    const members = this.#records.get(number);
    if (!made && members) this.#made.set(number, (made = exchange(number, [...members.values()])));
    return made;
  }

  /** All of them, by their beginning. */
  all(): Exchange[] {
    return [...this.#records.keys()].map((number) => this.get(number)!).sort((a, b) => a.start - b.start || a.number - b.number);
  }
}

function exchange(number: number, records: RecordView[]): Exchange {
  records.sort((a, b) => a.n - b.n);
  const request = records.find((each) => each.httpMethod !== "") ?? null;
  const response = records.find((each) => each.status !== 0) ?? null;
  const ending = records.findLast((each) => each.end !== "") ?? null;
  const events = records.filter((each) => each !== request && each !== response);
  const first = records[0]!;
  return {
    number,
    link: first.link,
    request,
    response,
    events,
    method: request?.httpMethod ?? "",
    target: request?.target ?? "",
    status: response?.status ?? 0,
    start: first.seconds,
    end: ending?.seconds ?? null,
    broken: ending?.end === "broken",
    size: records.reduce((sum, each) => sum + each.size, 0),
    about: [request?.method, request?.name].filter(Boolean).join(" "),
  };
}

/** What kind of header it is for who looks at MCP: of the protocol, of login, or any. */
export function headerKind(name: string): "mcp" | "login" | "stream" | "" {
  const lower = name.toLowerCase();
  if (lower.startsWith("mcp-")) return "mcp";
  if (["authorization", "www-authenticate", "cookie", "set-cookie", "dpop"].includes(lower)) return "login";
  return ["accept", "content-type", "last-event-id", "content-encoding"].includes(lower) ? "stream" : "";
}
