// HTTP, exchange by exchange: request, response, and the events of a stream in the order in which they came.

import { useState } from "preact/hooks";
import type { RecordView, TranscriptView } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { VirtualList } from "../components/VirtualList.tsx";
import { path } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";
import { bytes, counted, duration, since } from "../transcript/amounts.ts";
import { Beside } from "../transcript/Beside.tsx";
import { Message } from "../transcript/Details.tsx";
import { useDetail } from "../transcript/detail.ts";
import { oneLine } from "../transcript/shown.ts";
import { aboutOf, kindOf } from "../transcript/words.ts";
import type { Exchange } from "./exchanges.ts";
import { Headers } from "./Headers.tsx";
import { useExchanges } from "./useExchanges.ts";
import "../transcript/transcript.css";
import "./network.css";

const ROW = 28;

export default function Network(props: ViewProps) {
  if (!props.transcript)
    return (
      <Empty icon="network" title="No HTTP yet">
        <p>Connect to the server: each request is kept with its headers, its answer and the events of its stream.</p>
      </Empty>
    );
  return <ExchangesOf key={props.transcript.id} {...props} transcript={props.transcript} />;
}

function fits(each: Exchange, words: string[]): boolean {
  const text = `${each.method} ${each.target} ${each.status} ${each.about}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function ExchangesOf({ transcript, rest, query, open, go }: ViewProps & { transcript: TranscriptView }) {
  const { exchanges, before, busy, error, earlier } = useExchanges(transcript.id);
  const chosen = Number(rest[0] ?? 0) || 0;
  const search = query.get("q") ?? "";
  const all = exchanges.all();
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = words.length ? all.filter((each) => fits(each, words)) : all;
  const exchange = chosen ? exchanges.get(chosen) : undefined;
  const place = (number: number, q = search) => open(number ? [String(number)] : [], { q }, true);
  const list = (
    <div class="rec-list">
      <div class="net-head">
        <span class="rec-count" role="status">
          {counted(shown.length, "exchange")}
          {busy && " …"}
        </span>
        {before > 0 && (
          <Button small kind="quiet" onClick={earlier} disabled={busy}>
            {counted(before, "earlier record")}
          </Button>
        )}
      </div>
      {!busy && !shown.length ? (
        <Empty icon="network" title={all.length ? "No exchange is like that" : "There was no HTTP in this conversation"} />
      ) : (
        <VirtualList
          label="HTTP exchanges"
          count={shown.length}
          rowHeight={ROW}
          selected={shown.findIndex((each) => each.number === chosen)}
          follow={transcript.live && !chosen}
          onSelect={(index) => place(shown[index]!.number)}
          keyOf={(index) => shown[index]?.number ?? index}
          render={(index) => (shown[index] ? <ExchangeRow exchange={shown[index]} /> : null)}
        />
      )}
    </div>
  );
  return (
    <div class="rec">
      <div class="rec-tools" role="search" aria-label="Exchanges">
        <input
          class="input mono net-search"
          type="search"
          aria-label="Search the exchanges"
          placeholder="Method, path, status, what was asked"
          value={search}
          onInput={(event) => place(chosen, event.currentTarget.value)}
        />
      </div>
      {error ? (
        <ErrorBox error={error} title="The exchanges can't be loaded" />
      ) : (
        <Beside
          name="network"
          share={50}
          list={list}
          chosen={
            exchange ? (
              <ExchangeDetails
                key={exchange.number}
                transcript={transcript.id}
                exchange={exchange}
                close={() => place(0)}
                show={(n) => go(path(transcript.server ? "s" : "t", transcript.server ?? transcript.id, "transcript", String(n)))}
              />
            ) : null
          }
        />
      )}
    </div>
  );
}

function StatusBadge({ exchange }: { exchange: Exchange }) {
  if (!exchange.status) return <Badge tone="ask">{exchange.end === null ? "open" : "none"}</Badge>;
  return <Badge tone={exchange.status >= 400 ? "error" : exchange.broken ? "warning" : "ok"}>{exchange.status}</Badge>;
}

function ExchangeRow({ exchange }: { exchange: Exchange }) {
  const events = exchange.events.filter((each) => each.sender === "server" && !each.end).length;
  return (
    <>
      <span class="rec-time">{since(exchange.start)}</span>
      <span class="net-method">{exchange.method || "?"}</span>
      <span class="net-status">
        <StatusBadge exchange={exchange} />
      </span>
      <span class="rec-what">
        {exchange.about && <b>{oneLine(exchange.about)}</b>}
        <span class="rec-summary">{oneLine(exchange.target)}</span>
      </span>
      {events > 1 && <span class="muted">{counted(events, "event")}</span>}
      {exchange.broken && <Badge tone="error">broke off</Badge>}
      <span class="rec-latency">{exchange.end === null ? "…" : duration(exchange.end - exchange.start)}</span>
      <span class="rec-size">{bytes(exchange.size)}</span>
    </>
  );
}

interface DetailsProps {
  transcript: string;
  exchange: Exchange;
  show: (n: number) => void;
  close: () => void;
}

function ExchangeDetails({ transcript, exchange, show, close }: DetailsProps) {
  return (
    <article class="rec-detail" aria-label={`Exchange ${exchange.number}`}>
      <header class="rec-detail-head">
        <StatusBadge exchange={exchange} />
        <h2 class="rec-detail-title">
          {exchange.method} {oneLine(exchange.target)}
        </h2>
        <span class="grow" />
        <IconButton icon="close" label="Close the details" onClick={close} />
      </header>
      <div class="rec-detail-body scroll" tabIndex={0} role="region" aria-label="Details of the exchange">
        <Times exchange={exchange} />
        {exchange.request ? (
          <Part title="Request" transcript={transcript} record={exchange.request} show={show} />
        ) : (
          <p class="muted">The request is not among what is here.</p>
        )}
        {exchange.response && <Part title="Response" transcript={transcript} record={exchange.response} show={show} />}
        {exchange.events.length > 0 && (
          <section class="stack">
            <h3>{exchange.response ? "What came in it" : "Not answered yet"}</h3>
            <ol class="net-events">
              {exchange.events.slice(0, 500).map((each) => (
                <Event key={each.n} transcript={transcript} record={each} start={exchange.start} show={show} />
              ))}
            </ol>
            {exchange.events.length > 500 && <p class="muted">{exchange.events.length - 500} more: see the transcript.</p>}
          </section>
        )}
      </div>
    </article>
  );
}

/** When it was sent, answered, ended: as a bar, and in words. */
function Times({ exchange }: { exchange: Exchange }) {
  const head = exchange.response?.seconds ?? null;
  const whole = (exchange.end ?? head ?? exchange.start) - exchange.start;
  const wait = head === null ? whole : head - exchange.start;
  const share = whole > 0 ? Math.min(Math.max((wait / whole) * 100, 1), 100) : 100;
  const said = [
    head === null ? "no answer yet" : `answered after ${duration(wait)}`,
    exchange.end === null ? "still open" : `${exchange.broken ? "broke off" : "ended"} after ${duration(whole)}`,
  ];
  return (
    <div class="stack">
      <div class="net-bar" aria-hidden="true">
        <span style={{ width: `${share}%` }} />
      </div>
      <p class="muted">{said.join(", ")}</p>
    </div>
  );
}

function Part({ title, transcript, record, show }: { title: string; transcript: string; record: RecordView; show: (n: number) => void }) {
  const { detail, error } = useDetail(transcript, record.n);
  return (
    <section class="stack">
      <div class="line">
        <h3>{title}</h3>
        <button type="button" class="jump" onClick={() => show(record.n)} aria-label={`${title}: record ${record.n}`}>
          {record.n}
        </button>
      </div>
      {error && <ErrorBox error={error} />}
      {detail && <Headers headers={detail.headers} />}
      {detail && <Message detail={detail} />}
    </section>
  );
}

function Event({ transcript, record, start, show }: { transcript: string; record: RecordView; start: number; show: (n: number) => void }) {
  const [open, setOpen] = useState(false);
  const kind = kindOf(record);
  return (
    <li>
      <button type="button" class="net-event" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="rec-time">+{duration(record.seconds - start)}</span>
        <Badge tone={kind.tone}>{kind.text}</Badge>
        <span class="rec-what">
          <b>{oneLine(aboutOf(record))}</b>
          <span class="rec-summary">{oneLine(record.summary)}</span>
        </span>
      </button>
      {open && <EventBody transcript={transcript} n={record.n} show={show} />}
    </li>
  );
}

function EventBody({ transcript, n, show }: { transcript: string; n: number; show: (n: number) => void }) {
  const { detail, error } = useDetail(transcript, n);
  if (error) return <ErrorBox error={error} />;
  if (!detail) return <div class="loading" aria-busy="true" />;
  return (
    <div class="stack net-inside">
      <div>
        <Button small kind="quiet" onClick={() => show(n)}>
          Record {n}
        </Button>
      </div>
      <Message detail={detail} />
    </div>
  );
}
