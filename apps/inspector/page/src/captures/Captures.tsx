// All conversations: those of servers, and captures that were opened; to be looked at, saved, renamed and removed.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, errorView, type TranscriptView } from "../api.ts";
import { serverById, transcripts } from "../store.ts";
import { Badge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { Dialog } from "../components/Dialog.tsx";
import { Empty } from "../components/Empty.tsx";
import { path, withQuery } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "../transcript/amounts.ts";
import { saveFrom } from "../transcript/copying.ts";
import { visible } from "../transcript/shown.ts";
import { exportAddress, fileName, FORMATS, openCapture, removeCapture, renameCapture, type Format } from "./capturing.ts";
import "../transcript/transcript.css";
import "./captures.css";

const MOST_AT_ONCE = 20;

export default function Captures({ go }: ViewProps) {
  const [over, setOver] = useState(false);
  const [opening, setOpening] = useState(0);
  const [saving, save] = useState<TranscriptView | null>(null);
  const [renaming, rename] = useState<TranscriptView | null>(null);
  const [marked, mark] = useState<readonly string[]>([]);
  const input = useRef<HTMLInputElement>(null);
  const opened = async (files: readonly File[]) => {
    setOpening(files.length);
    for (const file of files.slice(0, MOST_AT_ONCE)) {
      try {
        const found = await openCapture(file);
        if (files.length === 1) go(path("t", found.id, "transcript"));
      } catch (problem) {
        const view = errorView(problem);
        tell({ ...view, message: `${file.name}: ${view.message}` });
      }
    }
    setOpening(0);
  };
  const all = transcripts.value;
  const [a, b] = marked;
  const toggle = (id: string) => mark(marked.includes(id) ? marked.filter((each) => each !== id) : [...marked, id].slice(-2));
  return (
    <div
      class="cap scroll pad stack"
      data-over={over}
      onDragOver={(event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={(event) => event.currentTarget === event.target && setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void opened([...(event.dataTransfer?.files ?? [])]);
      }}
    >
      <div class="line">
        <h1>Captures</h1>
        <span class="grow" />
        <Button small icon="compare" disabled={!a || !b} onClick={() => a && b && go(withQuery(path("a", "compare"), { a, b }))}>
          Compare the two that are marked
        </Button>
        <input
          ref={input}
          class="seen-by-readers"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Captures to open"
          accept=".jsonl,.json,application/jsonl"
          onChange={(event) => {
            void opened([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <Button small kind="primary" icon="open" disabled={opening > 0} onClick={() => input.current?.click()}>
          {opening ? "Opening…" : "Open a capture"}
        </Button>
      </div>
      <p class="muted">
        A capture is a file of JSON lines: everything that was said, with times and headers. Drop files here to open them.
      </p>
      {!all.length && (
        <Empty icon="file" title="No conversation yet">
          <p>Connect to a server, or open a capture: one of <code>dovetail record</code>, or one that somebody sent.</p>
        </Empty>
      )}
      {all.length > 0 && (
        <ul class="stack">
          {all.toReversed().map((each) => (
            <CaptureCard
              key={each.id}
              transcript={each}
              marked={marked.includes(each.id)}
              toggle={() => toggle(each.id)}
              save={() => save(each)}
              rename={() => rename(each)}
              go={go}
            />
          ))}
        </ul>
      )}
      {saving && <Export transcript={saving} close={() => save(null)} />}
      {renaming && <Rename transcript={renaming} close={() => rename(null)} />}
    </div>
  );
}

interface CardProps {
  transcript: TranscriptView;
  marked: boolean;
  toggle: () => void;
  save: () => void;
  rename: () => void;
  go: (address: string) => void;
}

function CaptureCard({ transcript, marked, toggle, save, rename, go }: CardProps) {
  const server = transcript.server ? serverById.value.get(transcript.server) : undefined;
  const current = server?.transcript === transcript.id;
  const count = useCount(transcript);
  const to = current && server ? path("s", server.id, "transcript") : path("t", transcript.id, "transcript");
  const drop = () => {
    removeCapture(transcript.id).then(
      () => tell(`${transcript.name} is looked at no more.`),
      (problem: unknown) => tell(errorView(problem)),
    );
  };
  return (
    <li class="card">
      <div class="card-head">
        <label class="check">
          <input type="checkbox" checked={marked} onChange={toggle} aria-label={`Mark ${transcript.name} for comparing`} />
        </label>
        <a
          class="cap-name"
          href={`#${to}`}
          onClick={(event) => {
            if (event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            go(to);
          }}
        >
          {visible(transcript.name)}
        </a>
        {transcript.live && <Badge tone="ok">live</Badge>}
        {!transcript.server && <Badge>opened</Badge>}
        {transcript.redacted && <Badge title="Secrets were taken out of it">redacted</Badge>}
        {(["error", "warning", "hint"] as const).map((each) => {
          const found = transcript.findings[each] ?? 0;
          return found ? (
            <Badge key={each} tone={each === "hint" ? "ask" : each}>
              {counted(found, each)}
            </Badge>
          ) : null;
        })}
        <span class="grow" />
        <span class="muted">
          {counted(count, "record")}
          {transcript.began && `, from ${transcript.began.slice(0, 19).replace("T", " ")}`}
          {transcript.place && `, written by a ${transcript.place}`}
        </span>
        <IconButton icon="save" label={`Save ${transcript.name} as a file`} onClick={save} />
        <IconButton icon="edit" label={`Rename ${transcript.name}`} onClick={rename} />
        <IconButton icon="trash" label={`Remove ${transcript.name}`} disabled={transcript.live} onClick={drop} />
      </div>
    </li>
  );
}

/** How many records there are now: of a live conversation the store knows how many there were when it was told of. */
function useCount(transcript: TranscriptView): number {
  const [count, set] = useState(transcript.count);
  useEffect(() => {
    let here = true;
    set(transcript.count);
    api.records(transcript.id, 1, 0).then(
      (page) => here && set(page.total),
      () => undefined,
    );
    return () => {
      here = false;
    };
  }, [transcript]);
  return count;
}

function Export({ transcript, close }: { transcript: TranscriptView; close: () => void }) {
  const [format, setFormat] = useState<Format>("jsonl");
  const [redact, setRedact] = useState(true);
  return (
    <Dialog label={`Save ${transcript.name}`} close={close}>
      <form
        class="dialog-body"
        onSubmit={(event) => {
          event.preventDefault();
          saveFrom(exportAddress(transcript.id, format, redact), fileName(transcript.name, format));
          close();
        }}
      >
        <fieldset class="stack">
          <legend class="field-label">As</legend>
          {FORMATS.map((each) => (
            <label key={each.format} class="check">
              <input type="radio" name="format" checked={format === each.format} onChange={() => setFormat(each.format)} />
              <span>
                {each.text} <span class="muted">{each.says}</span>
              </span>
            </label>
          ))}
        </fieldset>
        <label class="check">
          <input type="checkbox" checked={redact} onChange={(event) => setRedact(event.currentTarget.checked)} />
          <span>
            Leave secrets out <span class="muted">tokens, passwords, cookies, keys</span>
          </span>
        </label>
        <div class="note-box" data-tone={redact ? "ask" : "warning"} role="status">
          {redact
            ? "Rules find what they look for: look at the file before you hand it on."
            : "The file has everything that was said: tokens, passwords and cookies, too. Whoever has it can use them."}
        </div>
        <div class="dialog-foot">
          <Button onClick={close}>Cancel</Button>
          <Button kind={redact ? "primary" : "danger"} type="submit" icon="save">
            {redact ? "Save" : "Save with secrets"}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Rename({ transcript, close }: { transcript: TranscriptView; close: () => void }) {
  const [name, setName] = useState(transcript.name);
  const rename = async () => {
    try {
      await renameCapture(transcript.id, name.trim());
      close();
    } catch (problem) {
      tell(errorView(problem));
    }
  };
  return (
    <Dialog label="Rename the conversation" close={close}>
      <form
        class="dialog-body"
        onSubmit={(event) => {
          event.preventDefault();
          void rename();
        }}
      >
        <label class="field">
          <span class="field-label">Name</span>
          <input class="input" maxLength={200} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <div class="dialog-foot">
          <Button onClick={close}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={!name.trim()}>
            Rename
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
