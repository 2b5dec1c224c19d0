// Two conversations: what is the same, what is another, what only one has.

import { useEffect, useState } from "preact/hooks";
import { errorView, get, type ErrorView } from "../api.ts";
import { transcriptById, transcripts } from "../store.ts";
import { Button, IconButton } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { VirtualList } from "../components/VirtualList.tsx";
import { path } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "../transcript/amounts.ts";
import { Beside } from "../transcript/Beside.tsx";
import { Message } from "../transcript/Details.tsx";
import { useDetail } from "../transcript/detail.ts";
import { oneLine, visible } from "../transcript/shown.ts";
import { counts, KINDS, parted, type ComparisonRow, type ComparisonView, type Difference, type RowKind } from "./changes.ts";
import { Choice } from "./Choice.tsx";
import { titled } from "./titles.ts";

const ROW = 26;

export function Conversations({ query, open, go }: ViewProps) {
  const a = query.get("a") ?? "";
  const b = query.get("b") ?? "";
  const kinds = new Set((query.get("kinds") ?? "changed,only-a,only-b").split(",").filter(Boolean) as RowKind[]);
  const chosen = Number(query.get("row") ?? -1);
  const [again, setAgain] = useState(0);
  const { found, error, busy } = useComparison(a, b, again);
  const place = (next: Record<string, string>) =>
    open([], { a, b, kinds: [...kinds].join(","), row: chosen >= 0 ? String(chosen) : "", ...next }, true);
  const options = transcripts.value.map((each) => ({ id: each.id, title: titled(each) }));
  const rows = found?.rows ?? [];
  const all = counts(rows);
  const shown = rows.map((row, index) => ({ row, index })).filter(({ row }) => kinds.has(row.kind));
  const row = rows[chosen];
  const toggle = (kind: RowKind) => {
    const next = new Set(kinds);
    if (!next.delete(kind)) next.add(kind);
    // Nothing at all would be the same as never chosen.
    place({ kinds: [...next].join(",") || "none", row: "" });
  };
  const list = (
    <VirtualList
      label="Rows of the comparison"
      count={shown.length}
      rowHeight={ROW}
      selected={shown.findIndex((each) => each.index === chosen)}
      onSelect={(index) => place({ row: String(shown[index]?.index ?? "") })}
      rowData={(index) => ({ "data-change": shown[index]?.row.kind ?? "" })}
      render={(index) => (shown[index] ? <Row row={shown[index].row} /> : null)}
    />
  );
  return (
    <div class="cmp">
      <div class="cmp-head">
        <Choice label="First" value={a} options={options} choose={(id) => place({ a: id, row: "" })} />
        <Choice label="Second" value={b} options={options} choose={(id) => place({ b: id, row: "" })} />
        <Button small icon="refresh" disabled={!a || !b || busy} onClick={() => setAgain(again + 1)}>
          {busy ? "Comparing…" : "Compare again"}
        </Button>
        <span class="grow" />
        {found && (
          <div class="line" role="group" aria-label="Rows that are shown">
            {KINDS.map((each) => (
              <Button key={each.kind} small kind="quiet" pressed={kinds.has(each.kind)} onClick={() => toggle(each.kind)}>
                <span aria-hidden="true">{each.mark}</span> {all[each.kind]} {each.says}
              </Button>
            ))}
          </div>
        )}
      </div>
      {error && <ErrorBox error={error} title="They can't be compared" />}
      {!a || !b ? (
        <Empty icon="compare" title="Choose two conversations">
          <p>Connect to a server twice, or open a capture that somebody sent: what is different stands in a list here.</p>
        </Empty>
      ) : found && !shown.length ? (
        <Empty icon="check" title={all.same === rows.length ? `All ${counted(rows.length, "message")} say the same` : "No row of this kind"} />
      ) : !found ? (
        <div class="loading" aria-busy={busy} />
      ) : (
        <Beside
          name="compare"
          share={42}
          list={list}
          chosen={row ? <RowDetails row={row} a={a} b={b} close={() => place({ row: "" })} go={go} /> : null}
        />
      )}
    </div>
  );
}

function useComparison(a: string, b: string, again: number) {
  const [state, set] = useState<{ found: ComparisonView | null; error: ErrorView | null; busy: boolean }>({
    found: null,
    error: null,
    busy: false,
  });
  useEffect(() => {
    if (!a || !b) return set({ found: null, error: null, busy: false });
    const abort = new AbortController();
    set((before) => ({ ...before, error: null, busy: true }));
    const asked = new URLSearchParams({ a, b }).toString();
    get<ComparisonView>(`/api/compare/transcripts?${asked}`, abort.signal).then(
      (found) => set({ found, error: null, busy: false }),
      (problem: unknown) => !abort.signal.aborted && set({ found: null, error: errorView(problem), busy: false }),
    );
    return () => abort.abort();
  }, [a, b, again]);
  return state;
}

const MARKS = new Map(KINDS.map((each) => [each.kind, each]));

function Row({ row }: { row: ComparisonRow }) {
  const kind = MARKS.get(row.kind);
  const first = row.changes[0];
  return (
    <>
      <span class="rec-n">{row.a ?? ""}</span>
      <span class="cmp-mark" title={kind?.says}>
        {kind?.mark}
        <span class="seen-by-readers">{kind?.says}</span>
      </span>
      <span class="rec-n">{row.b ?? ""}</span>
      <span class="rec-what">
        <b>{oneLine(row.method)}</b>
        {row.name && <span class="rec-name">{oneLine(row.name)}</span>}
        {first && (
          <span class="rec-summary">
            {first.pointer || "the whole"}
            {row.changes.length > 1 && ` and ${row.changes.length - 1} more`}
          </span>
        )}
      </span>
    </>
  );
}

interface RowDetailsProps {
  row: ComparisonRow;
  a: string;
  b: string;
  close: () => void;
  go: (address: string) => void;
}

function RowDetails({ row, a, b, close, go }: RowDetailsProps) {
  return (
    <article class="rec-detail" aria-label="The chosen row">
      <header class="rec-detail-head">
        <h2 class="rec-detail-title">
          {oneLine(row.method)} {oneLine(row.name)}
        </h2>
        <span class="grow" />
        <IconButton icon="close" label="Close the details" onClick={close} />
      </header>
      <div class="rec-detail-body scroll" tabIndex={0} role="region" aria-label="What is different">
        {row.changes.length > 0 && <Changes changes={row.changes} />}
        <div class="cmp-sides">
          <Side title="First" transcript={a} n={row.a} go={go} />
          <Side title="Second" transcript={b} n={row.b} go={go} />
        </div>
      </div>
    </article>
  );
}

function Changes({ changes }: { changes: readonly Difference[] }) {
  return (
    <table class="table">
      <caption class="seen-by-readers">Where the two are different</caption>
      <thead>
        <tr>
          <th scope="col">Where</th>
          <th scope="col">First</th>
          <th scope="col">Second</th>
        </tr>
      </thead>
      <tbody>
        {changes.slice(0, 300).map((each) => (
          <Change key={each.pointer} change={each} />
        ))}
      </tbody>
    </table>
  );
}

/** Two values, with what both begin and end with set back. */
export function Change({ change }: { change: Difference }) {
  const texts = parted(change.missing === "a" ? NOTHING : JSON.stringify(change.a), change.missing === "b" ? NOTHING : JSON.stringify(change.b));
  return (
    <tr>
      <th scope="row">
        <code class="breaks">{visible(change.pointer) || "the whole"}</code>
      </th>
      <td>
        <Parted start={texts.start} other={texts.a} end={texts.end} side="a" />
      </td>
      <td>
        <Parted start={texts.start} other={texts.b} end={texts.end} side="b" />
      </td>
    </tr>
  );
}

const LONG = 120;
const NOTHING = "nothing";

function Parted({ start, other, end, side }: { start: string; other: string; end: string; side: "a" | "b" }) {
  const before = start.length > LONG ? `…${start.slice(-LONG)}` : start;
  const after = end.length > LONG ? `${end.slice(0, LONG)}…` : end;
  return (
    <code class="breaks">
      <span class="muted">{visible(before)}</span>
      {other && <mark data-side={side}>{visible(other.slice(0, 4000))}</mark>}
      <span class="muted">{visible(after)}</span>
    </code>
  );
}

function Side({ title, transcript, n, go }: { title: string; transcript: string; n: number | null; go: (address: string) => void }) {
  const { detail, error } = useDetail(transcript, n ?? 0);
  const server = transcriptById.value.get(transcript)?.server;
  return (
    <section class="stack" aria-label={title}>
      <div class="line">
        <h3>{title}</h3>
        {n !== null && (
          <button
            type="button"
            class="jump"
            aria-label={`${title}: record ${n}`}
            onClick={() => go(path(server ? "s" : "t", server ?? transcript, "transcript", String(n)))}
          >
            {n}
          </button>
        )}
      </div>
      {n === null && <p class="muted">There is nothing like it here.</p>}
      {error && <ErrorBox error={error} />}
      {detail && <Message detail={detail} />}
      {detail !== null && detail.record.pair > 0 && <Answer transcript={transcript} n={detail.record.pair} />}
    </section>
  );
}

/** What a request was answered with. */
function Answer({ transcript, n }: { transcript: string; n: number }) {
  const { detail, error } = useDetail(transcript, n);
  if (error) return <ErrorBox error={error} />;
  return detail && <Message detail={detail} title="Answer" />;
}
