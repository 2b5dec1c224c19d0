// One call: how far it is, what it asks the person, what came of it.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, errorView, type CallView, type Json, type ProgressView } from "../api.ts";
import { Badge, CallBadge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { Prose } from "../components/Prose.tsx";
import { isObject } from "../forms/schema.ts";
import { QuestionCard } from "../questions/QuestionCard.tsx";
import { path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import { questions } from "../store.ts";
import { Contents, Message, ResourceContents, type OpenResource } from "./Content.tsx";

interface CallPanelProps {
  call: CallView;
  openResource?: OpenResource;
  /** Whether the person has just begun it here, and is to see what becomes of it. */
  begun?: boolean;
}

export function CallPanel({ call, openResource, begun }: CallPanelProps) {
  const [raw, showRaw] = useState(false);
  const asked = questions.value.filter((each) => each.call === call.id);
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    if (begun) element.current?.scrollIntoView({ block: "nearest" });
  }, [begun, call.state, asked.length]);
  const stop = () => api.cancel(call.id).catch((problem: unknown) => tell(errorView(problem)));
  const first = call.records[0];
  return (
    <article ref={element} class="card" aria-label={`Call of ${call.name || call.method}`}>
      <header class="card-head">
        <CallBadge state={call.state} />
        <strong class="mono cut">{call.name || call.method}</strong>
        <Time call={call} />
        {call.task && <Badge title="It became a task of this id">task {call.task}</Badge>}
        <span class="grow" />
        {first !== undefined && (
          <a href={`#${path("s", call.server, "transcript", String(first))}`}>
            {call.records.length === 1 ? "In the transcript" : `${call.records.length} requests`}
          </a>
        )}
        <Button small kind="quiet" pressed={raw} onClick={() => showRaw(!raw)}>
          JSON
        </Button>
        {call.state === "running" && (
          <Button small icon="stop" onClick={() => void stop()}>
            Cancel
          </Button>
        )}
      </header>
      <div class="card-body" aria-live="polite">
        {call.progress.length > 0 && <Progress steps={call.progress} running={call.state === "running"} />}
        {call.state === "running" && !call.progress.length && !asked.length && <div class="loading" />}
        {asked.map((each) => (
          <QuestionCard key={each.id} question={each} />
        ))}
        {call.error && <ErrorBox error={call.error} />}
        {raw ? <Raw call={call} /> : call.state === "done" && <Outcome call={call} openResource={openResource} />}
      </div>
    </article>
  );
}

function Raw({ call }: { call: CallView }) {
  return (
    <>
      <h3>Parameters, as sent</h3>
      <JsonView value={call.params} label="Parameters" />
      {call.result !== null && (
        <>
          <h3>Result, as it came</h3>
          <JsonView value={call.result} label="Result" depth={4} />
        </>
      )}
    </>
  );
}

const spoken = (seconds: number) =>
  seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;

function Time({ call }: { call: CallView }) {
  const [now, tick] = useState(Date.now());
  useEffect(() => {
    if (call.state !== "running") return;
    const timer = window.setInterval(() => tick(Date.now()), 500);
    return () => window.clearInterval(timer);
  }, [call.state]);
  const began = Date.parse(call.began);
  if (call.seconds !== null) return <span class="muted">{spoken(call.seconds)}</span>;
  if (call.state !== "running" || Number.isNaN(began)) return null;
  return <span class="muted">{Math.max(0, Math.round((now - began) / 1000))} s</span>;
}

function Progress({ steps, running }: { steps: ProgressView[]; running: boolean }) {
  const [all, showAll] = useState(false);
  const last = steps.at(-1)!;
  const shown = all ? steps.slice(-200) : steps.slice(-3);
  return (
    <div class="progress">
      <progress
        aria-label="Progress"
        max={last.total ?? 1}
        value={last.total === null ? (running ? undefined : 1) : last.progress}
      />
      <div class="line muted">
        <span>
          {last.progress}
          {last.total !== null && ` of ${last.total}`}
        </span>
        {steps.length > 3 && (
          <Button small kind="quiet" expanded={all} onClick={() => showAll(!all)}>
            {all ? "last steps" : `all ${steps.length} steps`}
          </Button>
        )}
      </div>
      <ol class="steps">
        {shown.map((each, at) => (
          <li key={at}>
            <span class="mono muted">{each.at.toFixed(2)} s</span> {each.message || String(each.progress)}
          </li>
        ))}
      </ol>
    </div>
  );
}

/** What a call gave, by its kind. */
function Outcome({ call, openResource }: CallPanelProps) {
  const result = isObject(call.result) ? call.result : {};
  switch (call.kind) {
    case "tool":
      return <ToolResult call={call} openResource={openResource} />;
    case "read":
      return (
        <>
          {list(result["contents"]).map((each, at) =>
            isObject(each) ? <ResourceContents key={at} contents={each} /> : <JsonView key={at} value={each} label="Contents" />,
          )}
          {!list(result["contents"]).length && <p class="muted">The resource is empty: no contents came.</p>}
        </>
      );
    case "prompt":
      return (
        <>
          {typeof result["description"] === "string" && <Prose text={result["description"]} />}
          {list(result["messages"]).map((each, at) => (
            <Message key={at} message={each} open={openResource} />
          ))}
        </>
      );
    default:
      return <JsonView value={call.result} label="Result" />;
  }
}

const list = (value: Json | undefined) => (Array.isArray(value) ? value : []);

function ToolResult({ call, openResource }: CallPanelProps) {
  const result = isObject(call.result) ? call.result : {};
  const structured = result["structuredContent"];
  const known = ["content", "structuredContent", "isError", "resultType"];
  const rest = Object.fromEntries(Object.entries(result).filter(([name]) => !known.includes(name)));
  return (
    <>
      {result["isError"] === true && (
        <div class="note-box" data-tone="error">
          <span>
            The tool says that it failed (<code>isError</code>): a model is shown this, and may try again.
          </span>
        </div>
      )}
      {result["content"] !== undefined && <Contents blocks={result["content"]} open={openResource} />}
      {structured !== undefined && (
        <div class="stack">
          <div class="line">
            <h3>Structured content</h3>
            {call.checked ? (
              <Badge tone={call.problem ? "error" : "ok"}>
                {call.problem ? "does not fit the tool's schema" : "fits the tool's schema"}
              </Badge>
            ) : (
              <Badge>{call.problem ? "not held against a schema" : "the tool names no schema for it"}</Badge>
            )}
          </div>
          <JsonView value={structured} label="Structured content" depth={4} />
        </div>
      )}
      {call.problem && structured !== undefined && (
        <div class="note-box" data-tone={call.checked ? "error" : "warning"}>
          <Prose text={call.problem} />
        </div>
      )}
      {Object.keys(rest).length > 0 && (
        <div class="stack">
          <h3>Besides</h3>
          <JsonView value={rest} label="Further members of the result" />
        </div>
      )}
    </>
  );
}
