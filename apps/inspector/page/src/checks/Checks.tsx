// Calls that were kept, with what has to come of them: edited as text, run here, and in builds by
// `dovetail inspect --run`.

import { useEffect, useState } from "preact/hooks";
import { errorView, type ErrorView } from "../api.ts";
import { callById } from "../store.ts";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { Split } from "../components/Split.tsx";
import { path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted, duration } from "../transcript/amounts.ts";
import { saveText } from "../transcript/copying.ts";
import { visible } from "../transcript/shown.ts";
import { loadChecks, namesIn, runChecks, storeChecks, type CheckResult } from "./data.ts";
import "../transcript/transcript.css";
import "./checks.css";

export default function Checks({ go }: ViewProps) {
  const [text, setText] = useState<string | null>(null);
  const [stored, setStored] = useState("");
  const [error, fail] = useState<ErrorView | null>(null);
  const [results, setResults] = useState<CheckResult[] | null>(null);
  const [running, run] = useState(false);
  useEffect(() => {
    let here = true;
    loadChecks().then(
      (found) => {
        if (!here) return;
        setText(found.text);
        setStored(found.text);
      },
      (problem: unknown) => here && fail(errorView(problem)),
    );
    return () => {
      here = false;
    };
  }, []);
  const store = async (): Promise<boolean> => {
    try {
      const kept = await storeChecks(text ?? "");
      setStored(kept.text);
      setText(kept.text);
      fail(null);
      return true;
    } catch (problem) {
      fail(errorView(problem));
      return false;
    }
  };
  const start = async (names?: string[]) => {
    if (text !== stored && !(await store())) return;
    run(true);
    try {
      const done = await runChecks(names);
      const again = new Set(done.results.map((each) => each.name));
      const others = names ? (results ?? []).filter((each) => !again.has(each.name)) : [];
      setResults([...others, ...done.results]);
      fail(null);
    } catch (problem) {
      fail(errorView(problem));
    }
    run(false);
  };
  if (text === null)
    return (
      <div class="pad stack">
        <h1>Checks</h1>
        {error ? <ErrorBox error={error} title="The checks can't be loaded" /> : <div class="loading" aria-busy="true" />}
      </div>
    );
  const names = namesIn(text);
  return (
    <div class="rec">
      <div class="rec-tools">
        <h1 class="seen-by-readers">Checks</h1>
        <Button kind="primary" small icon="play" disabled={running || !names.length} onClick={() => void start()}>
          {running ? "Running…" : `Run ${names.length === 1 ? "it" : `all ${names.length}`}`}
        </Button>
        <Button small icon="check" disabled={text === stored} onClick={() => void store().then((kept) => kept && tell("The checks are kept."))}>
          Keep
        </Button>
        <span class="muted" role="status">
          {text === stored ? counted(names.length, "check") : "changed, not kept yet"}
        </span>
        <span class="grow" />
        <Button small icon="save" disabled={!text} onClick={() => saveText("checks.toml", text, "application/toml")}>
          Save as a file
        </Button>
      </div>
      <Split
        name="checks"
        label="Width of the text"
        share={52}
        first={
          <div class="checks-text">
            {error && <ErrorBox error={error} />}
            <textarea
              class="textarea"
              aria-label="The checks, as TOML"
              spellcheck={false}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </div>
        }
        second={
          <div class="scroll pad" tabIndex={0} role="region" aria-label="Results">
            {results === null ? (
              <Empty icon="check" title="Not run yet">
                <p>
                  A call in a transcript becomes a check by “Keep as a check”. In a build:{" "}
                  <code>dovetail inspect --run checks.toml --junit report.xml</code>
                </p>
              </Empty>
            ) : (
              <Results results={results} running={running} again={(name) => void start([name])} go={go} />
            )}
          </div>
        }
      />
    </div>
  );
}

interface ResultsProps {
  results: CheckResult[];
  running: boolean;
  again: (name: string) => void;
  go: (address: string) => void;
}

function Results({ results, running, again, go }: ResultsProps) {
  const skipped = results.filter((each) => each.state === "skipped").length;
  const failed = results.filter((each) => !each.passed).length - skipped;
  const passed = results.length - failed - skipped;
  return (
    <div class="stack">
      <p role="status">
        <strong>
          {failed > 0 && `${failed} failed, `}
          {passed} of {counted(results.length, "check")} passed
          {skipped > 0 && `, ${skipped} skipped`}
        </strong>
      </p>
      <ul class="stack">
        {results.map((each) => {
          const call = each.call ? callById.value.get(each.call) : undefined;
          return (
            <li key={`${each.name} ${each.cell}`} class="card">
              <div class="card-head">
                <Badge tone={each.passed ? "ok" : each.state === "skipped" ? "warning" : "error"}>{each.state}</Badge>
                <strong class="breaks">{visible(each.name)}</strong>
                {each.cell && <code class="muted">{visible(each.cell)}</code>}
                <span class="muted">{duration(each.seconds)}</span>
                <span class="grow" />
                {call?.records[0] !== undefined && (
                  <Button small kind="quiet" onClick={() => go(path("s", call.server, "transcript", String(call.records[0])))}>
                    What was said
                  </Button>
                )}
                <Button small kind="quiet" icon="play" disabled={running} onClick={() => again(each.name)}>
                  Again
                </Button>
              </div>
              {each.failures.length > 0 && (
                <ul class="card-body">
                  {each.failures.map((why, index) => (
                    <li key={index} class="raw">
                      {visible(why)}
                    </li>
                  ))}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
