// What a record is, in a word or two; and a tone for it.

import type { RecordView } from "../api.ts";
import type { Tone } from "../components/Badge.tsx";

/** What kind of line it is: "→ request", with who says it to whom as an arrow. */
export function kindOf(record: RecordView): { text: string; tone: Tone } {
  if (record.status) return { text: String(record.status), tone: record.status >= 400 ? "error" : "plain" };
  switch (record.kind) {
    case "request":
      return { text: "request", tone: record.sender === "server" ? "ask" : "accent" };
    case "error":
      return { text: "error", tone: "error" };
    case "response":
      return { text: "response", tone: "ok" };
    case "http":
      return { text: record.end ? "end" : "http", tone: record.end === "broken" ? "error" : "plain" };
    case "omitted":
    case "text":
      return { text: record.kind, tone: "warning" };
    default:
      return { text: record.kind, tone: "plain" };
  }
}

export function arrow(sender: string): string {
  return sender === "client" ? "→" : sender === "server" ? "←" : "·";
}

export function said(sender: string): string {
  return sender === "client" ? "from the client" : sender === "server" ? "from the server" : "";
}

/** What it is about: a method and its subject, or an HTTP request. */
export function aboutOf(record: RecordView): string {
  if (record.method) return record.method;
  if (record.httpMethod) return `${record.httpMethod} ${record.target}`;
  if (record.end) return record.end === "broken" ? "the stream broke off" : "the stream ended";
  return record.event;
}

/** A sentence that says which record it is. */
export function called(record: RecordView): string {
  const id = record.id === null || record.id === undefined ? "" : `id ${String(record.id)}`;
  return [`${record.n}`, kindOf(record).text, said(record.sender), aboutOf(record), record.name, id].filter(Boolean).join(" ");
}
