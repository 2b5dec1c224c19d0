// What the server logs to its client: level by level, searched, saved.

import { useState } from "preact/hooks";
import { api, errorView, type LogLine } from "../api.ts";
import { logs } from "../store.ts";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { VirtualList } from "../components/VirtualList.tsx";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted } from "../transcript/amounts.ts";
import { saveText } from "../transcript/copying.ts";
import { oneLine } from "../transcript/shown.ts";
import { LEVELS, severityOf } from "./levels.ts";
import "../transcript/transcript.css";
import "./logs.css";

const ROW = 24;

export default function Logs({ server, query, open }: ViewProps) {
  const [chosen, choose] = useState<LogLine | null>(null);
  if (!server) return null;
  const least = query.get("level") ?? "";
  const search = query.get("q") ?? "";
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = logs.value.filter(
    (each) =>
      each.server === server.id &&
      (!least || severityOf(each.level) >= severityOf(least)) &&
      words.every((word) => textOf(each).toLowerCase().includes(word)),
  );
  const place = (level: string, q: string) => open([], { level, q }, true);
  const ask = (level: string) => {
    api.call(server.id, { kind: "log-level", level }).then(
      () => tell(`Asked for messages from ${level} on.`),
      (problem: unknown) => tell(errorView(problem)),
    );
  };
  const save = () =>
    saveText(`${server.name}.log.jsonl`, shown.map((each) => `${JSON.stringify(each)}\n`).join(""), "application/jsonl");
  return (
    <div class="rec">
      <div class="rec-tools" role="search" aria-label="Log messages">
        <input
          class="input mono net-search"
          type="search"
          aria-label="Search the log"
          placeholder="Words"
          value={search}
          onInput={(event) => place(least, event.currentTarget.value)}
        />
        <LevelSelect label="Shown" none="all levels" value={least} choose={(level) => place(level, search)} />
        <span class="muted" role="status">
          {counted(shown.length, "message")}
        </span>
        <span class="grow" />
        <LevelSelect label="Ask the server for" none="…" value="" choose={(level) => level && ask(level)} />
        <Button small icon="save" disabled={!shown.length} onClick={save}>
          Save as JSON lines
        </Button>
      </div>
      {shown.length ? (
        <div class="logs" data-open={chosen !== null}>
          <VirtualList
            label="Log messages"
            count={shown.length}
            rowHeight={ROW}
            selected={chosen ? shown.indexOf(chosen) : -1}
            follow={chosen === null}
            onSelect={(index) => choose(shown[index] ?? null)}
            render={(index) => (shown[index] ? <Line line={shown[index]} /> : null)}
          />
          {chosen && (
            <section class="logs-whole scroll" aria-label="The message, whole" tabIndex={0}>
              <p class="line">
                <LevelBadge level={chosen.level} />
                {chosen.logger && <code>{oneLine(chosen.logger)}</code>}
                <span class="muted">{chosen.time}</span>
              </p>
              <JsonView value={chosen.data} label="Data of the message" depth={4} />
            </section>
          )}
        </div>
      ) : (
        <Empty icon="log" title={words.length || least ? "No message is like that" : "The server has logged nothing"}>
          <p>Servers send log messages from the level on that the client asks for.</p>
        </Empty>
      )}
    </div>
  );
}

interface LevelSelectProps {
  label: string;
  none: string;
  value: string;
  choose: (level: string) => void;
}

function LevelSelect({ label, none, value, choose }: LevelSelectProps) {
  return (
    <label class="logs-level">
      <span class="muted">{label}</span>
      <select
        class="select"
        value={value}
        onChange={(event) => {
          choose(event.currentTarget.value);
          event.currentTarget.value = value;
        }}
      >
        <option value="">{none}</option>
        {LEVELS.map((each) => (
          <option key={each} value={each}>
            {each} and worse
          </option>
        ))}
      </select>
    </label>
  );
}

function LevelBadge({ level }: { level: string }) {
  const severity = severityOf(level);
  const tone: Tone = severity >= 4 ? "error" : severity === 3 ? "warning" : severity ? "ask" : "plain";
  return <Badge tone={tone}>{level}</Badge>;
}

function Line({ line }: { line: LogLine }) {
  return (
    <>
      <span class="rec-time" title={line.time}>
        {line.time.slice(11, 23)}
      </span>
      <span class="logs-badge">
        <LevelBadge level={line.level} />
      </span>
      <span class="rec-what">
        {line.logger && <span class="rec-name">{oneLine(line.logger)}</span>}
        <span class="stderr-text">{oneLine(textOf(line).slice(0, 600))}</span>
      </span>
    </>
  );
}

function textOf(line: LogLine): string {
  return typeof line.data === "string" ? line.data : JSON.stringify(line.data);
}
