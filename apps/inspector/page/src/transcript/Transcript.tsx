// The conversation: everything that was said, as it was said, or call by call with what belongs to each.

import { useEffect, useRef, useState } from "preact/hooks";
import { errorView, type RecordView, type TranscriptView } from "../api.ts";
import { hear } from "../store.ts";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { VirtualList } from "../components/VirtualList.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "./amounts.ts";
import { Beside } from "./Beside.tsx";
import { useOpenCalls } from "./calls.ts";
import { useDetail } from "./detail.ts";
import { DetailFailed, Details } from "./Details.tsx";
import { entryAt, lengthOf, placeOf, type Opened } from "./grouping.ts";
import { pinned, togglePin } from "./pins.ts";
import { useRecords } from "./records.ts";
import { Row, RowToCome } from "./Row.tsx";
import { Search } from "./Search.tsx";
import "./transcript.css";

const ROW = 26;
/** Where a link leads is looked for among so many of the first. */
const SEEN_FIRST = 400;
/** Milliseconds after which open calls are fetched anew where many records came at once. */
const AGAIN = 500;
const QUICK = [
  { word: "is:error", text: "Errors" },
  { word: "is:finding", text: "Findings" },
  { word: "is:open", text: "Unanswered" },
  { word: "is:slow", text: "Slow" },
  { word: "from:server", text: "From the server" },
  { word: "-is:stderr", text: "No stderr" },
] as const;

export default function Transcript(props: ViewProps) {
  if (!props.transcript)
    return (
      <Empty icon="list" title="Nothing was said yet">
        <p>Connect to the server: whatever goes over the wire is kept here, byte for byte.</p>
      </Empty>
    );
  return <Conversation key={props.transcript.id} {...props} transcript={props.transcript} />;
}

function Conversation({ transcript, rest, query, open }: ViewProps & { transcript: TranscriptView }) {
  const chosen = Number(rest[0] ?? 0) || 0;
  const words = query.get("q") ?? "";
  const byCall = query.get("by") === "call";
  const [follow, setFollow] = useState(transcript.live && !chosen);
  const place = (n: number, q = words, by = byCall, replace = true) =>
    open(n ? [String(n)] : [], { q, by: by ? "call" : "" }, replace);
  const show = (n: number) => {
    setFollow(false);
    place(n, words, byCall, false);
  };
  const find = (q: string) => place(chosen, q, false, false);
  return (
    <div class="rec">
      <div class="rec-tools" role="search" aria-label="The conversation">
        <Search query={words} set={(q) => q !== words && place(chosen, q)} quick={QUICK} />
        <span class="grow" />
        <Pins transcript={transcript.id} show={show} />
        <Button small kind="quiet" pressed={byCall} onClick={() => place(chosen, words, !byCall)}>
          By call
        </Button>
        {transcript.live && (
          <Button small kind="quiet" icon="down" pressed={follow} onClick={() => setFollow(!follow)}>
            Follow
          </Button>
        )}
      </div>
      <Records
        key={`${byCall} ${words}`}
        {...{ transcript, chosen, words, byCall, follow, show, find }}
        choose={(n) => place(n)}
        close={() => place(0)}
        whole={() => place(chosen, "", false)}
        moved={() => setFollow(false)}
      />
    </div>
  );
}

function Pins({ transcript, show }: { transcript: string; show: (n: number) => void }) {
  const pins = pinned(transcript).value;
  if (!pins.length) return null;
  return (
    <select
      class="select rec-pins"
      aria-label="Pinned records"
      value=""
      onChange={(event) => {
        show(Number(event.currentTarget.value));
        event.currentTarget.value = "";
      }}
    >
      <option value="">{counted(pins.length, "pin")}</option>
      {pins.map((n) => (
        <option key={n} value={n}>
          {n}
        </option>
      ))}
    </select>
  );
}

interface RecordsProps {
  transcript: TranscriptView;
  chosen: number;
  words: string;
  byCall: boolean;
  follow: boolean;
  show: (n: number) => void;
  find: (query: string) => void;
  choose: (n: number) => void;
  close: () => void;
  whole: () => void;
  moved: () => void;
}

function Records(props: RecordsProps) {
  const { transcript, chosen, words, byCall } = props;
  const asked = byCall ? `${words} is:call`.trim() : words;
  const { blocks, opening } = useRecords(transcript.id, asked);
  const calls = useOpenCalls(`${transcript.id} ${asked}`);
  const list = useRef<{ place: number; n: number }>({ place: -1, n: 0 });
  useEffect(() => {
    if (!byCall) return undefined;
    let timer = 0;
    const again = () => {
      timer = 0;
      void calls.open.again(transcript.id, (head) => blocks.at(head)?.n ?? 0).then(calls.draw);
    };
    const end = hear("records", (news) => {
      if (news.transcript !== transcript.id) return;
      if (!news.records.length && !timer) timer = window.setTimeout(again, AGAIN);
      const heads = new Map([...calls.open.open].map((head) => [blocks.at(head)?.n ?? 0, head]));
      calls.open.add(news.records, (n) => heads.get(n) ?? -1);
      calls.draw();
    });
    return () => {
      window.clearTimeout(timer);
      end();
    };
  }, [byCall, blocks]);
  const count = byCall ? lengthOf(calls.open.opened, blocks.total) : blocks.total;
  const at = (place: number) =>
    byCall ? calls.open.at(blocks, place) : { record: blocks.at(place), inner: false };
  const placeAt = placeOfChosen(asked === "", chosen, list.current, at, count);
  const toggle = (place: number) => {
    const { head } = entryAt(calls.open.opened, place);
    const call = blocks.at(head);
    if (call)
      void calls.open.toggle(transcript.id, head, call).then(() => {
        list.current = { place: placeOf(calls.open.opened, head), n: call.n };
        calls.draw();
      });
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target as HTMLElement).matches("[role=listbox]")) return;
    const record = placeAt >= 0 ? at(placeAt).record : undefined;
    if (!record) return;
    if (event.key === "p") togglePin(transcript.id, record.n);
    else if (event.key === "j" && record.pair) props.show(record.pair);
    else if (event.key === "g" && record.group) props.find(`group:${record.group}`);
    else if (byCall && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const { head } = entryAt(calls.open.opened, placeAt);
      if (calls.open.isOpen(head) === (event.key === "ArrowLeft")) toggle(placeAt);
    } else return;
    event.preventDefault();
  };
  const choose = async (place: number) => {
    props.moved();
    // What is far away is not here yet; of a whole conversation it is known all the same which it is.
    if (asked !== "" && !at(place).record) await blocks.open(byCall ? entryAt(calls.open.opened, place).head : place);
    const n = asked === "" ? place + 1 : (at(place).record?.n ?? 0);
    list.current = { place, n };
    if (n) props.choose(n);
  };
  const pins = pinned(transcript.id).value;
  const problem = blocks.problem ?? calls.open.problem;
  const found = (
    <div class="rec-list" onKeyDown={pressed}>
      {problem !== null && <ErrorBox error={errorView(problem)} title="The records can't be loaded" />}
      <p class="rec-count" role="status">
        {opening ? "…" : counted(blocks.total, byCall ? "call" : "record")}
        {asked !== "" && !byCall && " found"}
        {!opening && chosen > 0 && placeAt < 0 && asked !== "" && (
          <button type="button" class="jump" onClick={props.whole}>
            record {chosen} in the whole conversation
          </button>
        )}
        <span class="rec-keys muted">
          <kbd>p</kbd> pin <kbd>j</kbd> to its pair <kbd>g</kbd> its call
        </span>
      </p>
      {!opening && count === 0 ? (
        <Empty icon="search" title={words ? "Nothing like that was said" : "Nothing was said yet"} />
      ) : (
        <VirtualList
          label={byCall ? "Calls" : "Records"}
          count={count}
          rowHeight={ROW}
          selected={placeAt}
          follow={props.follow}
          onSelect={(place) => void choose(place)}
          {...(byCall ? { onOpen: toggle } : {})}
          onRange={(start, end) => wanted(blocks, byCall, calls.open.opened, start, end)}
          rowData={(place) => rowData(at(place))}
          render={(place) => {
            const { record, inner } = at(place);
            if (!record) return <RowToCome place={place} />;
            return (
              <>
                {byCall && <Turn place={place} inner={inner} open={calls.open.isOpen(entryAt(calls.open.opened, place).head)} toggle={toggle} />}
                <Row record={record} pinned={pins.includes(record.n)} inner={inner} latency={byCall} />
              </>
            );
          }}
        />
      )}
    </div>
  );
  return <Beside name="transcript" share={58} list={found} chosen={chosen ? <Chosen {...props} /> : null} />;
}

function Chosen({ transcript, chosen, show, find, close }: RecordsProps) {
  const { detail, error } = useDetail(transcript.id, chosen);
  if (error) return <DetailFailed error={error} close={close} />;
  if (!detail) return <div class="loading" aria-busy="true" />;
  return <Details key={chosen} {...{ transcript, detail, show, find, close }} />;
}

interface TurnProps {
  place: number;
  inner: boolean;
  open: boolean;
  toggle: (place: number) => void;
}

/** Opens and closes a call; by keys this is done with the arrows. */
function Turn({ place, inner, open, toggle }: TurnProps) {
  if (inner) return <span class="rec-turn" />;
  return (
    <span
      class="rec-turn"
      data-open={open}
      onClick={(event) => {
        event.stopPropagation();
        toggle(place);
      }}
    >
      {open ? "▾" : "▸"}
    </span>
  );
}

/** Where the chosen record stands in what was found; -1 when that is not known. */
function placeOfChosen(
  plain: boolean,
  chosen: number,
  last: { place: number; n: number },
  at: (place: number) => { record: RecordView | undefined },
  count: number,
): number {
  if (!chosen) return -1;
  if (plain) return chosen <= count ? chosen - 1 : -1;
  if (last.place >= 0 && last.place < count && at(last.place).record?.n === chosen) return last.place;
  for (let place = 0; place < Math.min(count, SEEN_FIRST); place += 1) if (at(place).record?.n === chosen) return place;
  return -1;
}

function wanted(
  blocks: { want: (first: number, last: number) => void },
  byCall: boolean,
  opened: readonly Opened[],
  start: number,
  end: number,
): void {
  if (end <= start) return;
  if (byCall) blocks.want(entryAt(opened, start).head, entryAt(opened, end - 1).head);
  else blocks.want(start, end - 1);
}

function rowData({ record, inner }: { record: RecordView | undefined; inner: boolean }): Record<string, string> {
  if (!record) return { "data-kind": "" };
  return { "data-kind": record.kind, "data-sender": record.sender, ...(inner ? { "data-inner": "" } : {}) };
}

