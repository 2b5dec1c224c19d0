// The spans as text, some hundred at a time.

import { useState } from "preact/hooks";
import { Button } from "../components/Button.tsx";
import { counted, duration, since } from "../transcript/amounts.ts";
import { oneLine } from "../transcript/shown.ts";
import type { Span } from "./data.ts";

const PORTION = 200;

interface SpanTableProps {
  spans: readonly Span[];
  chosen: number;
  choose: (id: number) => void;
  show: (n: number) => void;
}

export function SpanTable({ spans, chosen, choose, show }: SpanTableProps) {
  const [from, begin] = useState(0);
  const shown = spans.slice(from, from + PORTION);
  return (
    <div class="scroll pad" tabIndex={0} role="region" aria-label="Spans">
      <table class="table tl-table">
        <caption class="seen-by-readers">Spans, by their beginning</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">What</th>
            <th scope="col">Took</th>
            <th scope="col">Outcome</th>
            <th scope="col">Connection</th>
            <th scope="col">Record</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((each) => (
            <tr key={each.id} data-chosen={each.id === chosen || undefined}>
              <td class="mono">{since(each.start)}</td>
              <td>
                <button type="button" class="jump" onClick={() => choose(each.id)}>
                  {each.kind}
                </button>{" "}
                <span class="mono">{oneLine(each.name)}</span>
              </td>
              <td class="mono">{each.end === null ? "…" : duration(each.end - each.start)}</td>
              <td>{each.outcome || "going on"}</td>
              <td class="mono">{each.link}</td>
              <td>
                {each.record > 0 && (
                  <button type="button" class="jump" onClick={() => show(each.record)}>
                    {each.record}
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {spans.length > PORTION && (
        <p class="line">
          <Button small disabled={from === 0} onClick={() => begin(Math.max(from - PORTION, 0))}>
            Earlier
          </Button>
          <Button small disabled={from + PORTION >= spans.length} onClick={() => begin(from + PORTION)}>
            Later
          </Button>
          <span class="muted" role="status">
            {from + 1} to {Math.min(from + PORTION, spans.length)} of {counted(spans.length, "span")}
          </span>
        </p>
      )}
    </div>
  );
}
