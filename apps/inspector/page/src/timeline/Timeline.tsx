// What happened when: connections, calls, rounds, questions, tasks and streams, to be zoomed into; and how long methods
// took.

import { useEffect, useReducer, useState } from "preact/hooks";
import { errorView, get, transcriptPath, type ErrorView, type TranscriptView } from "../api.ts";
import { hear } from "../store.ts";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { path } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";
import { counted, duration, since } from "../transcript/amounts.ts";
import { oneLine } from "../transcript/shown.ts";
import { Chart } from "./Chart.tsx";
import { isBad, KINDS, type Span, type SpanKind, type TimelineView } from "./data.ts";
import { LatencyTable } from "./LatencyTable.tsx";
import { SpanTable } from "./SpanTable.tsx";
import "../transcript/transcript.css";
import "./timeline.css";

const AGAIN = 1000;

export default function Timeline(props: ViewProps) {
  if (!props.transcript)
    return (
      <Empty icon="timeline" title="Nothing happened yet">
        <p>Connect to the server: each connection, call, round and stream becomes a bar, as long as it took.</p>
      </Empty>
    );
  return <Spans key={props.transcript.id} {...props} transcript={props.transcript} />;
}

function useTimeline(transcript: string): { timeline: TimelineView | null; error: ErrorView | null } {
  const [timeline, set] = useState<TimelineView | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  const [again, reset] = useReducer((times: number) => times + 1, 0);
  useEffect(() => {
    let here = true;
    let timer = 0;
    const load = () =>
      get<TimelineView>(transcriptPath(transcript, "timeline")).then(
        (found) => {
          if (!here) return;
          set(found);
          fail(null);
        },
        (problem: unknown) => here && fail(errorView(problem)),
      );
    void load();
    const ends = [
      hear("reset", () => reset(0)),
      hear("records", (news) => {
        if (news.transcript !== transcript || timer) return;
        timer = window.setTimeout(() => {
          void load().then(() => (timer = 0));
        }, AGAIN);
      }),
    ];
    return () => {
      here = false;
      window.clearTimeout(timer);
      ends.forEach((end) => end());
    };
  }, [transcript, again]);
  return { timeline, error };
}

type Face = "chart" | "table" | "latencies";
const FACES: readonly { face: Face; text: string }[] = [
  { face: "chart", text: "Chart" },
  { face: "table", text: "As a table" },
  { face: "latencies", text: "Latencies" },
];

function Spans({ transcript, rest, query, open, go }: ViewProps & { transcript: TranscriptView }) {
  const { timeline, error } = useTimeline(transcript.id);
  const asked = query.get("face");
  const face: Face = asked === "table" || asked === "latencies" ? asked : "chart";
  const hidden = new Set((query.get("without") ?? "").split(",").filter(Boolean));
  const chosen = Number(rest[0] ?? 0) || 0;
  const place = (id: number, now: Face = face, without: ReadonlySet<string> = hidden) =>
    open(id ? [String(id)] : [], { face: now === "chart" ? "" : now, without: [...without].join(",") }, true);
  const toRecord = (n: number) =>
    go(path(transcript.server ? "s" : "t", transcript.server ?? transcript.id, "transcript", String(n)));
  const toggle = (kind: SpanKind) => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    place(chosen, face, next);
  };
  const spans = (timeline?.spans ?? []).filter((each) => !hidden.has(each.kind));
  const span = spans.find((each) => each.id === chosen);
  return (
    <div class="rec">
      <div class="rec-tools">
        <div class="line" role="group" aria-label="How it is shown">
          {FACES.map((each) => (
            <Button key={each.face} small kind="quiet" pressed={face === each.face} onClick={() => place(chosen, each.face)}>
              {each.text}
            </Button>
          ))}
        </div>
        {timeline !== null && timeline.dropped > 0 && <span class="muted">{counted(timeline.dropped, "earlier span")} not shown</span>}
        <span class="grow" />
        {face !== "latencies" && (
          <div class="line tl-kinds" role="group" aria-label="What is shown">
            {KINDS.filter((kind) => timeline?.spans.some((each) => each.kind === kind)).map((kind) => (
              <Button key={kind} small kind="quiet" pressed={!hidden.has(kind)} onClick={() => toggle(kind)}>
                <i class="tl-key" data-kind={kind} /> {kind}
              </Button>
            ))}
          </div>
        )}
      </div>
      {error && !timeline && <ErrorBox error={error} title="The timeline can't be loaded" />}
      {!timeline && !error && <div class="loading" aria-busy="true" />}
      {timeline && !timeline.spans.length && <Empty icon="timeline" title="Nothing happened yet" />}
      {timeline && timeline.spans.length > 0 && (
        <div class="tl" data-open={span !== undefined}>
          {face === "chart" && (
            <Chart spans={spans} timeline={timeline} chosen={chosen} choose={(id) => place(id)} enter={(each) => each.record && toRecord(each.record)} />
          )}
          {face === "table" && <SpanTable spans={spans} chosen={chosen} choose={(id) => place(id)} show={toRecord} />}
          {face === "latencies" && <LatencyTable timeline={timeline} />}
          {span && face !== "latencies" && <SpanDetails span={span} show={toRecord} timeline={timeline} choose={(id) => place(id)} />}
        </div>
      )}
    </div>
  );
}

interface SpanDetailsProps {
  span: Span;
  timeline: TimelineView;
  show: (n: number) => void;
  choose: (id: number) => void;
}

function SpanDetails({ span, timeline, show, choose }: SpanDetailsProps) {
  const parent = timeline.spans.find((each) => each.id === span.parent);
  return (
    <section class="tl-details scroll" aria-label="The chosen span" tabIndex={0}>
      <div class="line">
        <Badge tone={isBad(span) ? "error" : "plain"}>{span.outcome || "going on"}</Badge>
        <strong class="mono">
          {span.kind} {oneLine(span.name)}
        </strong>
        <span>{span.end === null ? "" : duration(span.end - span.start)}</span>
        <span class="muted">from {since(span.start)} s</span>
        {parent && (
          <Button small kind="quiet" onClick={() => choose(parent.id)}>
            Part of {parent.kind} {oneLine(parent.name)}
          </Button>
        )}
        {span.record > 0 && (
          <Button small kind="quiet" onClick={() => show(span.record)}>
            Record {span.record}
          </Button>
        )}
        {span.ended > 0 && (
          <Button small kind="quiet" onClick={() => show(span.ended)}>
            Ended by {span.ended}
          </Button>
        )}
      </div>
      {(span.code !== null || span.message) && (
        <p class="breaks">
          {span.code !== null && <code>{span.code}</code>} {oneLine(span.message)}
        </p>
      )}
      {span.notes.length > 0 && (
        <p class="line">
          <span class="muted">{counted(span.notes.length, "message")} meanwhile:</span>
          {span.notes.slice(0, 30).map((note) => (
            <button key={note.record} type="button" class="jump" onClick={() => show(note.record)}>
              {note.method.replace("notifications/", "")} {note.record}
            </button>
          ))}
        </p>
      )}
    </section>
  );
}
