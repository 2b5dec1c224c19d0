// What is wrong in the whole conversation: each rule that was broken, how often, and where.

import { useEffect, useState } from "preact/hooks";
import { errorView, type ErrorView, type Severity, type TranscriptView } from "../api.ts";
import { hear } from "../store.ts";
import { SeverityBadge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { OuterLink } from "../components/Prose.tsx";
import { path, withQuery } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "../transcript/amounts.ts";
import { visible } from "../transcript/shown.ts";
import { loadRules, ordered, type RuleView } from "./data.ts";
import "../transcript/transcript.css";
import "./lint.css";

const AGAIN = 1000;
const SHOWN = 12;
const SEVERITIES: readonly { severity: Severity; text: string }[] = [
  { severity: "error", text: "Errors" },
  { severity: "warning", text: "Warnings" },
  { severity: "hint", text: "Hints" },
];

export default function Lint(props: ViewProps) {
  if (!props.transcript)
    return (
      <Empty icon="warning" title="Nothing to judge yet">
        <p>Connect to the server: each message is held against the specification while it passes.</p>
      </Empty>
    );
  return <Rules key={props.transcript.id} {...props} transcript={props.transcript} />;
}

function useRules(transcript: string): { rules: RuleView[] | null; error: ErrorView | null } {
  const [rules, set] = useState<RuleView[] | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  useEffect(() => {
    let here = true;
    let timer = 0;
    const load = () =>
      loadRules(transcript).then(
        (found) => {
          if (!here) return;
          set(ordered(found.rules));
          fail(null);
        },
        (problem: unknown) => here && fail(errorView(problem)),
      );
    void load();
    const end = hear("records", (news) => {
      if (news.transcript !== transcript || timer) return;
      timer = window.setTimeout(() => void load().then(() => (timer = 0)), AGAIN);
    });
    return () => {
      here = false;
      window.clearTimeout(timer);
      end();
    };
  }, [transcript]);
  return { rules, error };
}

function Rules({ transcript, query, open, go }: ViewProps & { transcript: TranscriptView }) {
  const { rules, error } = useRules(transcript.id);
  const only = query.get("severity") ?? "";
  const place = [transcript.server ? "s" : "t", transcript.server ?? transcript.id, "transcript"];
  const count = (severity: Severity) => (rules ?? []).reduce((sum, each) => (each.severity === severity ? sum + each.count : sum), 0);
  const shown = (rules ?? []).filter((each) => !only || each.severity === only);
  return (
    <div class="rec">
      <div class="rec-tools">
        <div class="line" role="group" aria-label="Severities">
          {SEVERITIES.map((each) => (
            <Button
              key={each.severity}
              small
              kind="quiet"
              pressed={only === each.severity}
              onClick={() => open([], { severity: only === each.severity ? "" : each.severity }, true)}
            >
              {each.text} <b>{count(each.severity)}</b>
            </Button>
          ))}
        </div>
        <span class="grow" />
        <span class="muted" role="status">
          {rules ? counted(shown.length, "rule") : "…"}
        </span>
      </div>
      <div class="scroll pad stack" tabIndex={0} role="region" aria-label="Broken rules">
        {error && <ErrorBox error={error} title="The findings can't be loaded" />}
        {rules?.length === 0 && (
          <Empty icon="check" title="Nothing is wrong">
            <p>Every message so far is as the specification has it.</p>
          </Empty>
        )}
        <ul class="stack">
          {shown.map((each) => (
            <li key={`${each.rule} ${each.severity}`} class="card">
              <div class="card-head">
                <SeverityBadge severity={each.severity} />
                <strong class="mono">{each.rule}</strong>
                {each.requirement && <code>{each.requirement}</code>}
                <span class="grow" />
                <Button small kind="quiet" onClick={() => go(withQuery(path(...place), { q: `rule:${each.rule}` }))}>
                  {counted(each.count, "time")}
                </Button>
              </div>
              <div class="card-body">
                <p class="breaks">{visible(each.what)}</p>
                {each.page && <OuterLink address={each.page} />}
                <p class="line lint-records">
                  <span class="muted">Records</span>
                  {each.records.slice(0, SHOWN).map((n) => (
                    <button key={n} type="button" class="jump" onClick={() => go(path(...place, String(n)))}>
                      {n}
                    </button>
                  ))}
                  {each.records.length > SHOWN && <span class="muted">and more</span>}
                </p>
              </div>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
