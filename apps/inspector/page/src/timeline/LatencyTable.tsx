// How long each method took: percentiles, and how they are spread.

import { counted, duration } from "../transcript/amounts.ts";
import { oneLine } from "../transcript/shown.ts";
import type { MethodLatency, TimelineView } from "./data.ts";
import { columns } from "./latencies.ts";

const HIGH = 34;
const WIDE = 16;

export function LatencyTable({ timeline }: { timeline: TimelineView }) {
  if (!timeline.latencies.length) return <p class="pad muted">No request was answered yet.</p>;
  const exact = timeline.latencies.every((each) => each.exact);
  return (
    <div class="scroll pad stack" tabIndex={0} role="region" aria-label="Latencies">
      <table class="table tl-latencies">
        <caption class="seen-by-readers">How long requests of each method took</caption>
        <thead>
          <tr>
            <th scope="col">Method</th>
            <th scope="col">Answers</th>
            <th scope="col">p50</th>
            <th scope="col">p95</th>
            <th scope="col">p99</th>
            <th scope="col">Longest</th>
            <th scope="col">Spread</th>
          </tr>
        </thead>
        <tbody>
          {timeline.latencies.map((each) => (
            <tr key={each.method}>
              <th scope="row" class="mono">
                {oneLine(each.method)}
              </th>
              <td class="mono">{each.count.toLocaleString("en")}</td>
              <td class="mono">{duration(each.p50)}</td>
              <td class="mono">{duration(each.p95)}</td>
              <td class="mono">{duration(each.p99)}</td>
              <td class="mono">{duration(each.max)}</td>
              <td>
                <Spread latency={each} bounds={timeline.bounds} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {!exact && <p class="muted">There were so many that percentiles are within one per cent.</p>}
    </div>
  );
}

function Spread({ latency, bounds }: { latency: MethodLatency; bounds: readonly number[] }) {
  const all = columns(bounds, latency.histogram);
  const most = Math.max(...all.map((each) => each.count), 1);
  const says = all.filter((each) => each.count).map((each) => `${counted(each.count, "answer")} ${range(each.from, each.to)}`);
  const first = all[0];
  const last = all.at(-1);
  if (!first || !last) return null;
  return (
    <figure class="tl-spread">
      <svg
        width={all.length * WIDE}
        height={HIGH}
        viewBox={`0 0 ${all.length * WIDE} ${HIGH}`}
        role="img"
        aria-label={says.join(", ")}
      >
        <title>{says.join("\n")}</title>
        {all.map((each, index) => {
          const height = each.count ? Math.max((each.count / most) * (HIGH - 2), 1.5) : 0;
          return <rect key={index} class="tl-column" x={index * WIDE + 1} y={HIGH - height} width={WIDE - 2} height={height} />;
        })}
      </svg>
      <figcaption class="muted">
        {duration(first.from)} to {last.to === Infinity ? "more" : duration(last.to)}
      </figcaption>
    </figure>
  );
}

function range(from: number, to: number): string {
  if (to === Infinity) return `above ${duration(from)}`;
  return from ? `from ${duration(from)} to ${duration(to)}` : `up to ${duration(to)}`;
}
