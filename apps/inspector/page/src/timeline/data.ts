// What happened when, as the Inspector says it (timeline/span.py and timeline/latencies.py of its server).

import type { Json } from "../api.ts";

export const KINDS = ["connection", "http", "stream", "subscription", "call", "round", "question", "task"] as const;
export type SpanKind = (typeof KINDS)[number];

export interface Note {
  record: number;
  at: number;
  method: string;
}

export interface Span {
  id: number;
  kind: SpanKind;
  name: string;
  link: number;
  lane: number;
  parent: number;
  root: number;
  /** Seconds since the conversation began; `end` is null while it goes on. */
  start: number;
  end: number | null;
  record: number;
  ended: number;
  outcome: string;
  sender: string;
  method: string;
  target: string;
  request: Json;
  code: number | null;
  message: string;
  notes: Note[];
}

export interface MethodLatency {
  method: string;
  count: number;
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  max: number;
  mean: number;
  /** How many up to each bound, and how many beyond the last. */
  histogram: number[];
  exact: boolean;
}

export interface TimelineView {
  spans: Span[];
  latencies: MethodLatency[];
  /** Upper bounds of the histograms, in seconds. */
  bounds: number[];
  /** When the last line was. */
  seconds: number;
  /** Spans that were so many that the oldest are not here. */
  dropped: number;
}

const BAD = ["failed", "error", "broken", "unanswered"];

export function isBad(span: Span): boolean {
  return BAD.includes(span.outcome);
}

/** A sentence about a span. */
export function spoken(span: Span, took: string, began: string): string {
  const end = span.end === null ? "still going on" : `${took}, ${span.outcome || "ended"}`;
  return `${span.kind} ${span.name}, from ${began}, ${end}`;
}
