// What servers offer: tools, resources, prompts, taken down at a moment, and compared by what a change means to callers.

import { useEffect, useState } from "preact/hooks";
import { errorView, get, type ErrorView, type ServerView } from "../api.ts";
import { servers, transcripts } from "../store.ts";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "../transcript/amounts.ts";
import { oneLine, visible } from "../transcript/shown.ts";
import { brief, bySeverity, SEVERITIES, type SurfaceChange } from "./changes.ts";
import { Choice } from "./Choice.tsx";
import { snapshots, takeSnapshot } from "./snapshots.ts";
import { titled } from "./titles.ts";

const TONES: Record<string, Tone> = { breaking: "error", possible: "warning", warning: "warning", compatible: "ok" };
const SAYS: Record<string, string> = {
  breaking: "who kept to the first is refused, or misled",
  possible: "may break: that could not be decided",
  warning: "what models read is another, and they may act by it",
  compatible: "who kept to the first is served",
  cosmetic: "nobody has to do anything",
};

export function Surfaces({ query, open }: ViewProps) {
  const a = query.get("a") ?? "";
  const b = query.get("b") ?? "";
  const [changes, set] = useState<SurfaceChange[] | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  const [busy, work] = useState("");
  const place = (next: Record<string, string>) => open(["surfaces"], { a, b, ...next }, true);
  useEffect(() => {
    set(null);
    fail(null);
    if (!a || !b) return undefined;
    const abort = new AbortController();
    get<{ changes: SurfaceChange[] }>(`/api/compare/surfaces?${new URLSearchParams({ a, b })}`, abort.signal).then(
      (found) => set(bySeverity(found.changes)),
      (problem: unknown) => !abort.signal.aborted && fail(errorView(problem)),
    );
    return () => abort.abort();
  }, [a, b]);
  const take = async (server: ServerView) => {
    work(server.id);
    try {
      const taken = await takeSnapshot(server);
      if (!a) place({ a: taken.id });
      else place({ b: taken.id });
    } catch (problem) {
      tell(errorView(problem));
    }
    work("");
  };
  const ready = servers.value.filter((each) => each.state === "ready");
  const options = [...snapshots.value, ...transcripts.value.map((each) => ({ id: each.id, title: `as said in ${titled(each)}` }))];
  return (
    <div class="cmp">
      <div class="cmp-head">
        <Choice label="First" value={a} options={options} choose={(id) => place({ a: id })} />
        <Choice label="Second" value={b} options={options} choose={(id) => place({ b: id })} />
        <span class="grow" />
        {ready.map((each) => (
          <Button key={each.id} small icon="plus" disabled={busy !== ""} onClick={() => void take(each)}>
            {busy === each.id ? "Taking…" : `Take ${each.name} now`}
          </Button>
        ))}
      </div>
      <div class="scroll pad stack" tabIndex={0} role="region" aria-label="Changes">
        {error && <ErrorBox error={error} title="They can't be compared" />}
        {changes ? (
          <Found changes={changes} />
        ) : (
          !error && (
            <Empty icon="compare" title={a && b ? "Comparing…" : "Take two snapshots"}>
              <p>
                {ready.length
                  ? "A snapshot holds what a server offers at that moment: tools, resources, templates and prompts with their schemas."
                  : "Connect to a server first: a snapshot holds what it offers at that moment."}
              </p>
            </Empty>
          )
        )}
      </div>
    </div>
  );
}

function Found({ changes }: { changes: readonly SurfaceChange[] }) {
  if (!changes.length) return <Empty icon="check" title="Both offer the same" />;
  const said = SEVERITIES.map((each) => ({ each, count: changes.filter((one) => one.severity === each).length })).filter(
    ({ count }) => count,
  );
  return (
    <>
      <p class="line" role="status">
        <strong>{counted(changes.length, "change")}</strong>
        {said.map(({ each, count }) => (
          <Badge key={each} tone={TONES[each] ?? "plain"}>
            {count} {each}
          </Badge>
        ))}
      </p>
      <ul class="stack">
        {changes.map((each, index) => (
          <li key={index} class="card">
            <div class="card-head">
              <Badge tone={TONES[each.severity] ?? "plain"} title={SAYS[each.severity]}>
                {each.severity}
              </Badge>
              {each.kind && <span class="muted">{each.kind}</span>}
              {each.name && <strong class="mono">{oneLine(each.name)}</strong>}
              <code class="breaks muted">{visible(each.where)}</code>
            </div>
            <div class="card-body">
              <p class="breaks">{visible(each.what)}</p>
              {each.why && <p class="muted">{visible(each.why)}</p>}
              {(each.before ?? each.after ?? null) !== null && (
                <p>
                  <code class="breaks">{brief(each.before ?? undefined)}</code> <span aria-label="becomes">→</span>{" "}
                  <code class="breaks">{brief(each.after ?? undefined)}</code>
                </p>
              )}
              {each.example !== undefined && (
                <p>
                  <span class="muted">such as</span> <code class="breaks">{brief(each.example)}</code>
                </p>
              )}
            </div>
          </li>
        ))}
      </ul>
    </>
  );
}
