// One record, whole: what it says, as JSON or as it came; its headers; what the lint has against it; and what can be done
// with it.

import { useState } from "preact/hooks";
import { errorView, type ErrorView, type FindingView, type JsonObject, type RecordDetail, type TranscriptView } from "../api.ts";
import { saveCheck } from "../checks/data.ts";
import { Badge, SeverityBadge } from "../components/Badge.tsx";
import { Button, CopyButton, IconButton } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { OuterLink } from "../components/Prose.tsx";
import { tell } from "../shell/Toasts.tsx";
import { Headers } from "../network/Headers.tsx";
import { bytes, counted, duration, since } from "./amounts.ts";
import { pinned, togglePin } from "./pins.ts";
import { Resend } from "./Resend.tsx";
import { visible } from "./shown.ts";
import { aboutOf, kindOf, said } from "./words.ts";

/** What a check can call. */
const KEPT = ["tools/call", "resources/read", "prompts/get", "tools/list", "resources/list", "prompts/list"];

interface DetailsProps {
  transcript: TranscriptView;
  detail: RecordDetail;
  /** Show another record. */
  show: (n: number) => void;
  /** Look for something. */
  find: (query: string) => void;
  close: () => void;
}

export function Details({ transcript, detail, show, find, close }: DetailsProps) {
  const { record } = detail;
  const kind = kindOf(record);
  const [sending, send] = useState(false);
  const isPinned = pinned(transcript.id).value.includes(record.n);
  return (
    <article class="rec-detail" aria-label={`Record ${record.n}`}>
      <header class="rec-detail-head">
        <Badge tone={kind.tone}>{kind.text}</Badge>
        <h2 class="rec-detail-title">{visible(aboutOf(record)) || said(record.sender) || record.kind}</h2>
        <span class="grow" />
        <IconButton icon="pin" label={isPinned ? "Let it go" : "Pin"} pressed={isPinned} onClick={() => togglePin(transcript.id, record.n)} />
        <IconButton icon="close" label="Close the details" onClick={close} />
      </header>
      <div class="rec-detail-body scroll" tabIndex={0} role="region" aria-label="Details">
        <Facts detail={detail} show={show} find={find} />
        <Deeds transcript={transcript} detail={detail} send={() => send(true)} />
        {detail.findings.length > 0 && <Findings findings={detail.findings} find={find} />}
        {Object.keys(detail.headers).length > 0 && (
          <section class="stack">
            <h3>Headers</h3>
            <Headers headers={detail.headers} />
          </section>
        )}
        <Message detail={detail} />
      </div>
      {sending && <Resend transcript={transcript} detail={detail} close={() => send(false)} />}
    </article>
  );
}

function Facts({ detail: { record }, show, find }: Pick<DetailsProps, "detail" | "show" | "find">) {
  const paired = record.kind === "request" ? "the answer" : "the request";
  return (
    <dl class="facts">
      <Fact name="number">{record.n}</Fact>
      <Fact name="said">
        {said(record.sender) || "by nobody"}, {since(record.seconds)} s after the beginning
      </Fact>
      <Fact name="at">{record.time}</Fact>
      {record.id !== null && <Fact name="id">{JSON.stringify(record.id)}</Fact>}
      {record.name && <Fact name="about">{visible(record.name)}</Fact>}
      {record.pair > 0 && (
        <Fact name={paired}>
          <Jump n={record.pair} show={show} />
          {record.latency !== null && ` after ${duration(record.latency)}`}
        </Fact>
      )}
      {record.kind === "request" && !record.pair && <Fact name="the answer">none so far</Fact>}
      {record.group > 0 && (
        <Fact name="call">
          {record.group === record.n ? "it begins one," : <Jump n={record.group} show={show} />}{" "}
          <button type="button" class="jump" onClick={() => find(`group:${record.group}`)}>
            all of it
          </button>
        </Fact>
      )}
      <Fact name="over">
        {[record.transport, record.link ? `connection ${record.link}` : "", record.revision].filter(Boolean).join(", ")}
      </Fact>
      {record.exchange > 0 && (
        <Fact name="exchange">
          {record.exchange}{" "}
          <button type="button" class="jump" onClick={() => find(`exchange:${record.exchange}`)}>
            all of it
          </button>
        </Fact>
      )}
      <Fact name="size">{bytes(record.size)}</Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Jump({ n, show }: { n: number; show: (n: number) => void }) {
  return (
    <button type="button" class="jump" onClick={() => show(n)} aria-label={`Show record ${n}`}>
      {n}
    </button>
  );
}

function Deeds({ transcript, detail, send }: { transcript: TranscriptView; detail: RecordDetail; send: () => void }) {
  const { record } = detail;
  if (record.sender !== "client" || (record.kind !== "request" && record.kind !== "notification")) return null;
  const keep = () => {
    saveCheck(transcript.id, record.n).then(
      () => tell("The call is kept among the checks."),
      (problem: unknown) => tell(errorView(problem)),
    );
  };
  return (
    <div class="line">
      <Button small icon="edit" onClick={send} disabled={detail.truncated > 0}>
        Edit and send again
      </Button>
      {KEPT.includes(record.method) && (
        <Button small icon="save" onClick={keep}>
          Keep as a check
        </Button>
      )}
    </div>
  );
}

export function Findings({ findings, find }: { findings: FindingView[]; find?: (query: string) => void }) {
  return (
    <section class="stack" aria-label="Findings of the lint">
      <h3>{counted(findings.length, "finding")}</h3>
      <ul class="stack">
        {findings.map((each, index) => (
          <li key={index} class="note-box" data-tone={each.severity === "hint" ? "ask" : each.severity}>
            <div class="line">
              <SeverityBadge severity={each.severity} />
              {find ? (
                <button type="button" class="jump" onClick={() => find(`rule:${each.rule}`)}>
                  {each.rule}
                </button>
              ) : (
                <code>{each.rule}</code>
              )}
              {each.requirement && <code>{each.requirement}</code>}
              {each.where && <code title="where">{each.where}</code>}
            </div>
            <p class="breaks">{visible(each.what)}</p>
            {each.page && <OuterLink address={each.page} />}
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What was said: as JSON where it is any, and as it came. */
export function Message({ detail, title = "Message" }: { detail: RecordDetail; title?: string }) {
  const json = detail.value !== null && typeof detail.value === "object";
  const [raw, showRaw] = useState(false);
  if (!detail.text) return null;
  const marks = new Map(detail.findings.filter((each) => each.where.startsWith("/")).map((each) => [each.where, each.what]));
  return (
    <section class="stack">
      <div class="line">
        <h3>{title}</h3>
        <span class="grow" />
        {json && (
          <Button small kind="quiet" pressed={raw} onClick={() => showRaw(!raw)}>
            As it came
          </Button>
        )}
        <CopyButton text={() => (json && !raw ? JSON.stringify(detail.value, null, 2) : detail.text)} label="Copy the message" />
      </div>
      {json && !raw ? (
        <JsonView value={detail.value as JsonObject} label={title} depth={6} marks={marks} copy={false} />
      ) : (
        <pre class="raw">{visible(detail.text)}</pre>
      )}
      {detail.truncated > 0 && (
        <p class="muted">{bytes(detail.truncated)} more are not shown here: an export of the conversation has all of it.</p>
      )}
    </section>
  );
}

export function DetailFailed({ error, close }: { error: ErrorView; close: () => void }) {
  return (
    <div class="pad stack">
      <ErrorBox error={error} title="This record can't be shown" />
      <div>
        <Button onClick={close}>Close</Button>
      </div>
    </div>
  );
}
