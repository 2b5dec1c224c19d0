// One step of a login: who said what to whom, and, opened, all of it.

import { useEffect, useRef, useState } from "preact/hooks";
import type { LoginDocumentView, LoginStepView } from "../api.ts";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Icon } from "../components/Icon.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { plain } from "../components/odd.ts";
import { Prose } from "../components/Prose.tsx";
import { Headers } from "../network/Headers.tsx";
import { bytes } from "../transcript/amounts.ts";
import { visible } from "../transcript/shown.ts";
import { arrow, between, help } from "./steps.ts";

const STATES: Record<LoginStepView["state"], [Tone, string]> = {
  done: ["ok", "done"],
  missing: ["plain", "not there"],
  refused: ["warning", "refused"],
  failed: ["error", "failed"],
};

/** `open`: whether it is open until somebody says otherwise. */
export function Step({ step, open }: { step: LoginStepView; open: boolean }) {
  const [turned, turn] = useState<boolean | null>(null);
  const element = useRef<HTMLLIElement>(null);
  const shown = turned ?? open;
  const [tone, text] = STATES[step.state];
  useEffect(() => {
    if (!open) return;
    // Of a step that is higher than the window, its head is to be seen.
    element.current?.scrollIntoView({ block: "nearest" });
    element.current?.firstElementChild?.scrollIntoView({ block: "nearest" });
  }, [open]);
  return (
    <li ref={element} class="login-step" data-tone={step.held ? "ask" : tone}>
      <button type="button" class="login-head" aria-expanded={shown} onClick={() => turn(!shown)}>
        <Arrow step={step} />
        <span class="login-title">
          <Icon name="right" />
          <strong>{step.title}</strong>
          {step.held ? <Badge tone="ask">waits</Badge> : <Badge tone={tone}>{text}</Badge>}
          {step.response && <Badge>HTTP {step.response.status}</Badge>}
          <span class="seen-by-readers">{between(step)}</span>
        </span>
        <span class="login-said">{plain(step.decision)}</span>
      </button>
      {shown && <Whole step={step} />}
    </li>
  );
}

/** The step between the lines of the parties; a point where the client only decided. */
function Arrow({ step }: { step: LoginStepView }) {
  const { from, to, left } = arrow(step);
  return (
    <span class="login-lanes" aria-hidden="true">
      {from === to ? (
        <span class="login-point" style={{ gridColumn: from }} />
      ) : (
        <span class="login-arrow" data-left={left} style={{ gridColumn: `${from} / ${to + 1}`, "--span": to - from + 1 }} />
      )}
    </span>
  );
}

function Whole({ step }: { step: LoginStepView }) {
  const advice = help(step);
  const { request, response } = step;
  return (
    <div class="login-whole">
      <Prose text={step.decision} />
      <p class="line muted">
        {step.requirement && (
          <span>
            by <code>{step.requirement}</code>
          </span>
        )}
        <span>{between(step)}</span>
        <time>{step.time}</time>
      </p>
      {advice && (
        <div class="note-box" data-tone={step.state === "failed" ? "error" : "warning"}>
          {advice}
        </div>
      )}
      {request && (
        <section class="stack">
          <h3>Sent</h3>
          <p class="mono breaks">
            <strong>{visible(request.method)}</strong> {visible(request.url)}
          </p>
          {request.sent !== null && <JsonView value={request.sent} label={`What was sent: ${step.title}`} depth={3} />}
          <Folded title="Headers that were sent" headers={request.headers} />
        </section>
      )}
      {response && (
        <section class="stack">
          <h3>Answered with HTTP {response.status}</h3>
          <Folded title="Headers of the answer" headers={response.headers} />
        </section>
      )}
      {step.documents.map((each, at) => (
        <Document key={at} document={each} />
      ))}
    </div>
  );
}

function Folded({ title, headers }: { title: string; headers: Record<string, string> }) {
  const count = Object.keys(headers).length;
  if (!count) return null;
  return (
    <details>
      <summary>
        {title} ({count})
      </summary>
      <Headers headers={headers} />
    </details>
  );
}

function Document({ document }: { document: LoginDocumentView }) {
  const title = document.title.slice(0, 1).toUpperCase() + document.title.slice(1);
  return (
    <section class="stack">
      <h3>{title}</h3>
      {typeof document.content === "string" ? (
        <pre class="raw">{visible(document.content)}</pre>
      ) : (
        <JsonView value={document.content} label={title} depth={3} />
      )}
      {document.omitted > 0 && <p class="muted">{bytes(document.omitted)} more are not shown: the capture has all that passed.</p>}
    </section>
  );
}
