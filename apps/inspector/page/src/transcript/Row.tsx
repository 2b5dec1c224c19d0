import type { RecordView } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Icon } from "../components/Icon.tsx";
import { bytes, duration, since } from "./amounts.ts";
import { oneLine } from "./shown.ts";
import { aboutOf, arrow, kindOf, said } from "./words.ts";

interface RowProps {
  record: RecordView;
  pinned: boolean;
  /** It stands under its call. */
  inner?: boolean;
  /** A request says how long its answer took, too: where the answer is not beside it. */
  latency?: boolean;
}

/** A record as a line of the list. */
export function Row({ record, pinned, inner, latency }: RowProps) {
  const kind = kindOf(record);
  const about = aboutOf(record);
  const answered = record.kind !== "request" || latency;
  return (
    <>
      <span class="rec-n">{record.n}</span>
      <span class="rec-time" title={record.time}>
        {since(record.seconds)}
      </span>
      <span class="rec-arrow" data-sender={record.sender} title={said(record.sender)}>
        {arrow(record.sender)}
      </span>
      <span class="rec-kind" data-inner={inner || undefined}>
        <Badge tone={kind.tone}>{kind.text}</Badge>
      </span>
      <span class="rec-what">
        {about && <b>{oneLine(about)}</b>}
        {record.name && <span class="rec-name">{oneLine(record.name)}</span>}
        <span class="rec-summary">{oneLine(record.summary)}</span>
      </span>
      {pinned && (
        <span class="rec-pin" title="pinned">
          <Icon name="pin" />
          <span class="seen-by-readers">pinned</span>
        </span>
      )}
      {record.findings && (
        <span class="rec-finding" data-severity={record.findings} title={`the lint has an ${record.findings} here`}>
          <Icon name="warning" />
          <span class="seen-by-readers">{record.findings} of the lint</span>
        </span>
      )}
      <span class="rec-latency">{record.latency === null || !answered ? "" : duration(record.latency)}</span>
      <span class="rec-size">{record.size ? bytes(record.size) : ""}</span>
    </>
  );
}

/** A line whose record is on its way. */
export function RowToCome({ place }: { place: number }) {
  return (
    <>
      <span class="rec-n">{place + 1}</span>
      <span class="rec-what muted">…</span>
    </>
  );
}
