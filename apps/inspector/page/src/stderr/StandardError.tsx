// What a started server wrote to standard error, line by line. Escapes of terminals are shown, not obeyed.

import { useState } from "preact/hooks";
import { api, errorView, type RecordView, type TranscriptView } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { VirtualList } from "../components/VirtualList.tsx";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted, since } from "../transcript/amounts.ts";
import { saveText } from "../transcript/copying.ts";
import { useDetail } from "../transcript/detail.ts";
import { useRecords } from "../transcript/records.ts";
import { oneLine, visible } from "../transcript/shown.ts";
import "../transcript/transcript.css";
import "./stderr.css";

const ROW = 22;
const SLICE = 1000;
/** A summary of so many characters may be cut. */
const CUT = 160;

export default function StandardError(props: ViewProps) {
  if (!props.transcript)
    return (
      <Empty icon="terminal" title="Nothing was written yet">
        <p>What a server that is started here writes to standard error stands here, line by line.</p>
      </Empty>
    );
  return <Lines key={props.transcript.id} {...props} transcript={props.transcript} />;
}

function Lines({ transcript, rest, query, open }: ViewProps & { transcript: TranscriptView }) {
  const search = query.get("q") ?? "";
  const asked = `is:stderr ${search}`.trim();
  const { blocks, opening } = useRecords(transcript.id, asked);
  const [chosen, choose] = useState(-1);
  const n = Number(rest[0] ?? 0) || 0;
  const place = (number: number, q = search) => open(number ? [String(number)] : [], { q }, true);
  const save = async () => {
    try {
      const lines: string[] = [];
      for (let start = 1; start <= blocks.total; start += SLICE) {
        const page = await api.records(transcript.id, start, SLICE, asked);
        for (const each of page.records) lines.push(`${each.time} ${await whole(transcript.id, each)}\n`);
      }
      saveText(`${transcript.name}.stderr.txt`, lines.join(""));
    } catch (problem) {
      tell(errorView(problem));
    }
  };
  return (
    <div class="rec">
      <div class="rec-tools" role="search" aria-label="Standard error">
        <input
          class="input mono net-search"
          type="search"
          aria-label="Search standard error"
          placeholder="Words"
          value={search}
          onChange={(event) => {
            choose(-1);
            place(0, event.currentTarget.value);
          }}
        />
        <span class="muted" role="status">
          {opening ? "…" : counted(blocks.total, "line")}
        </span>
        <span class="grow" />
        <Button small icon="save" disabled={!blocks.total} onClick={() => void save()}>
          Save as text
        </Button>
      </div>
      <div class="stderr" data-open={n > 0}>
        {blocks.problem !== null && <ErrorBox error={errorView(blocks.problem)} title="The lines can't be loaded" />}
        {!opening && !blocks.total ? (
          <Empty icon="terminal" title={search ? "No line is like that" : "Nothing was written to standard error"} />
        ) : (
          <VirtualList
            label="Lines of standard error"
            count={blocks.total}
            rowHeight={ROW}
            selected={chosen}
            follow={transcript.live && n === 0}
            onSelect={(at) => {
              choose(at);
              place(blocks.at(at)?.n ?? 0);
            }}
            onRange={(start, end) => end > start && blocks.want(start, end - 1)}
            render={(at) => {
              const record = blocks.at(at);
              return record ? (
                <>
                  <span class="rec-time" title={record.time}>
                    {since(record.seconds)}
                  </span>
                  <span class="stderr-text">{oneLine(record.summary)}</span>
                </>
              ) : (
                <span class="muted">…</span>
              );
            }}
          />
        )}
        {n > 0 && <Whole transcript={transcript.id} n={n} />}
      </div>
    </div>
  );
}

async function whole(transcript: string, line: RecordView): Promise<string> {
  return line.summary.length < CUT ? line.summary : (await api.record(transcript, line.n)).text;
}

function Whole({ transcript, n }: { transcript: string; n: number }) {
  const { detail, error } = useDetail(transcript, n);
  if (error) return <ErrorBox error={error} />;
  if (!detail) return <div class="loading" aria-busy="true" />;
  return (
    <section class="stderr-whole scroll" aria-label={`Line ${n}, whole`} tabIndex={0}>
      <p class="muted">{detail.record.time}</p>
      <pre class="raw">{visible(detail.text)}</pre>
    </section>
  );
}
