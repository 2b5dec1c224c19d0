// Resources and templates of them: read, watched, made from values with the server's completions.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { errorView, type CallView, type ErrorView, type Json, type JsonObject, type ListView, type ServerView } from "../api.ts";
import { CallPanel } from "../calls/CallPanel.tsx";
import { begin, completions, ended, useList } from "../calls/calling.ts";
import { Catalogue, type Entry } from "../calls/Catalogue.tsx";
import { NeedsServer } from "../calls/NeedsServer.tsx";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { FindingNotes } from "../components/FindingNotes.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { OwnIcon } from "../components/OwnIcon.tsx";
import { plain } from "../components/odd.ts";
import { Prose } from "../components/Prose.tsx";
import { Split } from "../components/Split.tsx";
import { Form } from "../forms/Form.tsx";
import { isObject } from "../forms/schema.ts";
import type { ViewProps } from "../shell/views.ts";
import { callById, calls, hear } from "../store.ts";
import { expand, variables } from "./template.ts";

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");

export default function Resources(props: ViewProps) {
  return (
    <NeedsServer server={props.server}>
      <ResourcesOf {...props} server={props.server!} />
    </NeedsServer>
  );
}

interface OfProps extends ViewProps {
  server: ServerView;
}

function entriesOf(list: ListView | null, address: string): Entry[] {
  return (list?.items ?? []).map((item, at) => ({
    key: text(item[address]) || `#${at}`,
    title: text(item["title"]) || text(item["name"]) || text(item[address]),
    detail: text(item[address]),
    item,
    notes: list?.notes[at] ?? [],
    icon: list?.icons[at],
    badges: text(item["mimeType"]) ? <Badge>{text(item["mimeType"])}</Badge> : null,
  }));
}

function ResourcesOf({ server, rest, query, open }: OfProps) {
  const templates = query.get("of") === "templates";
  const listed = useList(server.id, templates ? "templates" : "resources");
  const address = templates ? "uriTemplate" : "uri";
  const entries = useMemo(() => entriesOf(listed.list, address), [listed.list]);
  const chosen = rest[0] ?? "";
  const of: Record<string, string> = templates ? { of: "templates" } : {};
  const entry = entries.find((each) => each.key === chosen);
  const what = templates ? "templates" : "resources";
  return (
    <Split
      name="catalogue"
      label="Width of the list"
      share={34}
      first={
        <div class="switched">
          <div class="switch" role="group" aria-label="What is listed">
            <Button small kind="quiet" pressed={!templates} onClick={() => open([])}>
              Resources
            </Button>
            <Button small kind="quiet" pressed={templates} onClick={() => open([], { of: "templates" })}>
              Templates
            </Button>
          </div>
          <Catalogue {...{ listed, entries, chosen, what }} choose={(key) => open([key], of, true)} />
        </div>
      }
      second={
        templates ? (
          entry ? (
            <Template key={entry.key} server={server} entry={entry} />
          ) : (
            <Empty icon="resource" title="Choose a template" />
          )
        ) : chosen ? (
          <Resource key={chosen} server={server} uri={chosen} entry={entry} />
        ) : (
          <Empty icon="resource" title="Choose a resource" />
        )
      }
    />
  );
}

function About({ entry }: { entry: Entry | undefined }) {
  if (!entry) return null;
  const description = text(entry.item["description"]);
  const size = entry.item["size"];
  return (
    <>
      <div class="line">
        {entry.badges}
        {typeof size === "number" && <span class="muted">{size.toLocaleString("en")} bytes</span>}
      </div>
      {description && <Prose text={description} />}
      <FindingNotes notes={entry.notes} />
    </>
  );
}

/** The newest call of a kind for an address. */
function newest(server: string, kind: CallView["kind"], uri: string): CallView | undefined {
  return calls.value.findLast((each) => each.server === server && each.kind === kind && each.params["uri"] === uri);
}

function Resource({ server, uri, entry }: { server: ServerView; uri: string; entry: Entry | undefined }) {
  return (
    <div class="detail scroll">
      <header class="stack">
        <div class="line">
          {entry && <OwnIcon of={entry.item} at={entry.icon} />}
          <h2 class="detail-name">{plain(entry?.title ?? "Resource")}</h2>
        </div>
        <p class="mono breaks">{plain(uri)}</p>
        <About entry={entry} />
      </header>
      <Reading server={server} uri={uri} />
      {entry && (
        <details class="definition">
          <summary>Definition as it came</summary>
          <JsonView value={entry.item} label="Definition of the resource" depth={3} />
        </details>
      )}
    </div>
  );
}

/** Read an address, watch it, and read it again when the server says that it changed. */
function Reading({ server, uri }: { server: ServerView; uri: string }) {
  const [shown, show] = useState("");
  const [error, setError] = useState<ErrorView | null>(null);
  const [changes, setChanges] = useState<string[]>([]);
  const call = callById.value.get(shown) ?? newest(server.id, "read", uri);
  const watched = server.subscriptions.includes(uri);
  const ask = async (kind: "read" | "subscribe" | "unsubscribe") => {
    setError(null);
    try {
      const begun = await begin(server.id, { kind, uri });
      if (kind === "read") show(begun.id);
      else {
        const done = await ended(begun.id);
        if (done.error) setError(done.error);
      }
    } catch (problem) {
      setError(errorView(problem));
    }
  };
  const asking = useRef(ask);
  asking.current = ask;
  useEffect(
    () =>
      hear("changed", (change) => {
        if (change.server !== server.id || change.what !== "resource" || change.uri !== uri) return;
        setChanges((old) => [...old.slice(-19), new Date().toLocaleTimeString("en-GB")]);
        void asking.current("read");
      }),
    [server.id, uri],
  );
  return (
    <>
      <div class="line">
        <Button kind="primary" icon="play" disabled={!uri} onClick={() => void ask("read")}>
          Read
        </Button>
        <Button
          icon="bell"
          pressed={watched}
          disabled={!uri}
          onClick={() => void ask(watched ? "unsubscribe" : "subscribe")}
        >
          {watched ? "Subscribed" : "Subscribe"}
        </Button>
        <span class="muted" role="status">
          {changes.length > 0 && `changed ${changes.length === 1 ? "once" : `${changes.length} times`}, last at ${changes.at(-1)}`}
        </span>
      </div>
      {error && <ErrorBox error={error} />}
      {call && <CallPanel key={call.id} call={call} />}
    </>
  );
}

function Template({ server, entry }: { server: ServerView; entry: Entry }) {
  const template = entry.key;
  const names = useMemo(() => variables(template), [template]);
  const schema = useMemo<JsonObject>(
    () => ({
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
      additionalProperties: false,
    }),
    [template],
  );
  const [value, change] = useState<Json | undefined>({});
  const values = Object.fromEntries(
    Object.entries(isObject(value) ? value : {}).filter((each): each is [string, string] => typeof each[1] === "string"),
  );
  const uri = expand(template, values);
  return (
    <div class="detail scroll">
      <header class="stack">
        <div class="line">
          <OwnIcon of={entry.item} at={entry.icon} />
          <h2 class="detail-name">{plain(entry.title)}</h2>
        </div>
        <p class="mono breaks">{template}</p>
        <About entry={entry} />
      </header>
      <Form
        schema={schema}
        value={value}
        change={change}
        complete={(name, typed) => {
          const { [name]: _, ...context } = values;
          return completions(server.id, template, name, typed, context);
        }}
      />
      <p class="mono breaks" role="status" aria-label="The address that is read">
        {uri}
      </p>
      <Reading key={template} server={server} uri={uri} />
      <details class="definition">
        <summary>Definition as it came</summary>
        <JsonView value={entry.item} label="Definition of the template" depth={3} />
      </details>
    </div>
  );
}
