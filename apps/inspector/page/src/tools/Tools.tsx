// Tools: found, filled in, called; what came of each call stays to be compared.

import { useEffect, useMemo, useState } from "preact/hooks";
import { errorView, type ErrorView, type Json, type JsonObject, type ServerView } from "../api.ts";
import { CallPanel } from "../calls/CallPanel.tsx";
import { begin, useList } from "../calls/calling.ts";
import { Catalogue, type Entry } from "../calls/Catalogue.tsx";
import { CopyLink, FromLink } from "../calls/FormLink.tsx";
import { VALUES } from "../calls/links.ts";
import { NeedsServer } from "../calls/NeedsServer.tsx";
import { useLink } from "../calls/useLink.ts";
import { Badge, CallBadge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { FindingNotes } from "../components/FindingNotes.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { OwnIcon } from "../components/OwnIcon.tsx";
import { plain } from "../components/odd.ts";
import { Prose } from "../components/Prose.tsx";
import { Split } from "../components/Split.tsx";
import { Editor } from "../forms/Editor.tsx";
import { initial } from "../forms/plan.ts";
import { asSchema, isObject } from "../forms/schema.ts";
import { path } from "../shell/route.ts";
import { offer } from "../shell/commands.ts";
import type { ViewProps } from "../shell/views.ts";
import { calls } from "../store.ts";
import { AppSlot, uiOf } from "./AppSlot.tsx";
import { CallOptions, type Options } from "./CallOptions.tsx";

const MOST_OFFERED = 2000;
const OLDER = 12;

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");

export default function Tools(props: ViewProps) {
  return (
    <NeedsServer server={props.server}>
      <ToolsOf {...props} server={props.server!} />
    </NeedsServer>
  );
}

function ToolsOf({ server, rest, query, open, go }: ViewProps & { server: ServerView }) {
  const listed = useList(server.id, "tools");
  const entries = useMemo<Entry[]>(
    () =>
      (listed.list?.items ?? []).map((item, at) => ({
        key: text(item["name"]) || `#${at}`,
        title: text(item["name"]) || "no name",
        detail: titleOf(item) || text(item["description"]).split("\n")[0] || "",
        item,
        notes: listed.list?.notes[at] ?? [],
        icon: listed.list?.icons[at],
        badges: <Hints tool={item} />,
      })),
    [listed.list],
  );
  const chosen = rest[0] ?? "";
  const entry = entries.find((each) => each.key === chosen);
  useEffect(
    () =>
      offer(() =>
        entries.slice(0, MOST_OFFERED).map((each) => ({
          id: `tool/${server.id}/${each.key}`,
          title: each.title,
          group: `Tool of ${server.name}`,
          run: () => go(path("s", server.id, "tools", each.key)),
        })),
      ),
    [entries, server.name],
  );
  return (
    <Split
      name="catalogue"
      label="Width of the list"
      share={34}
      first={<Catalogue {...{ listed, entries, chosen }} what="tools" choose={(key) => open([key], {}, true)} />}
      second={
        entry ? (
          <Tool
            key={`${server.id}/${entry.key}`}
            {...{ server, entry, go }}
            given={query.get(VALUES)}
            taken={() => open([entry.key], {}, true)}
          />
        ) : (
          <Empty icon="tool" title={chosen && listed.list ? "There is no such tool" : "Choose a tool"}>
            {chosen && listed.list && <p class="mono">{chosen}</p>}
          </Empty>
        )
      }
    />
  );
}

const annotations = (tool: JsonObject) => (isObject(tool["annotations"]) ? tool["annotations"] : {});
const titleOf = (tool: JsonObject) => text(tool["title"]) || text(annotations(tool)["title"]);

/** What a tool says of itself: nobody has proved it. */
function Hints({ tool }: { tool: JsonObject }) {
  const notes = annotations(tool);
  const ui = uiOf(tool);
  return (
    <>
      {notes["readOnlyHint"] === true && <Badge title="It says that it changes nothing">reads</Badge>}
      {notes["destructiveHint"] === true && notes["readOnlyHint"] !== true && (
        <Badge tone="warning" title="It says that it may destroy something">
          destroys
        </Badge>
      )}
      {notes["idempotentHint"] === true && <Badge title="It says that a second call changes no more">repeatable</Badge>}
      {notes["openWorldHint"] === true && <Badge title="It says that it reaches the outside world">outside</Badge>}
      {taskSupport(tool) && <Badge title="Whether it may run as a task">task: {taskSupport(tool)}</Badge>}
      {ui.uri && (
        <Badge tone="accent" title={`It has a view of its own: ${plain(ui.uri)}`}>
          view
        </Badge>
      )}
      {Array.isArray(ui.visibility) && !ui.visibility.includes("model") && (
        <Badge title="It is for views: hosts do not show it to a model">for views</Badge>
      )}
    </>
  );
}

function taskSupport(tool: JsonObject): string {
  const execution = isObject(tool["execution"]) ? tool["execution"] : {};
  return text(execution["taskSupport"]);
}

/** What was typed for a tool stays while the page is open, whatever is looked at in between. */
const drafts = new Map<string, { value: Json | undefined; options: Options }>();

interface ToolProps {
  server: ServerView;
  entry: Entry;
  go: (address: string) => void;
  /** The values of the address, and what takes them out of it. */
  given: string | null;
  taken: () => void;
}

function Tool({ server, entry, go, given, taken }: ToolProps) {
  const tool = entry.item;
  const schema = asSchema(tool["inputSchema"]);
  const draftKey = `${server.id}/${entry.key}`;
  const [draft, setDraft] = useState(() => drafts.get(draftKey) ?? { value: initial(schema) ?? {}, options: {} });
  const [readable, setReadable] = useState(true);
  const [failed, fail] = useState<ErrorView | null>(null);
  const [shown, show] = useState("");
  const [begun, seeTo] = useState("");
  const keep = (next: typeof draft) => {
    drafts.set(draftKey, next);
    setDraft(next);
  };
  const linked = useLink(given, (value) => keep({ ...draft, value }), taken);
  const made = calls.value.filter(
    (each) => each.server === server.id && each.kind === "tool" && each.name === text(tool["name"]),
  );
  const call = made.find((each) => each.id === shown) ?? made.at(-1);
  const run = async () => {
    fail(null);
    try {
      const args = isObject(draft.value) ? draft.value : {};
      const started = await begin(server.id, { kind: "tool", name: text(tool["name"]), arguments: args, ...draft.options });
      show(started.id);
      seeTo(started.id);
    } catch (problem) {
      fail(errorView(problem));
    }
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && readable) void run();
  };
  return (
    <div class="detail scroll" onKeyDown={press}>
      <header class="stack">
        <div class="line">
          <OwnIcon of={tool} at={entry.icon} />
          <h2 class="mono detail-name">{plain(entry.title)}</h2>
          <Hints tool={tool} />
        </div>
        {titleOf(tool) && <strong>{plain(titleOf(tool))}</strong>}
        {text(tool["description"]) && <Prose text={text(tool["description"])} />}
        <FindingNotes notes={entry.notes} />
      </header>
      <FromLink {...linked} />
      <Editor
        schema={schema}
        value={draft.value}
        change={(value) => keep({ ...draft, value })}
        label={`Arguments of ${entry.title}`}
        readable={setReadable}
      />
      <CallOptions
        options={draft.options}
        change={(options) => keep({ ...draft, options })}
        taskSupport={taskSupport(tool)}
      />
      <div class="line">
        <Button kind="primary" icon="play" disabled={!readable} title="Ctrl Enter" onClick={() => void run()}>
          Call
        </Button>
        <Button
          kind="quiet"
          onClick={() => keep({ value: initial(schema) ?? {}, options: {} })}
          title="Begin with the defaults of the schema"
        >
          Start over
        </Button>
        <CopyLink place={path("s", server.id, "tools", entry.key)} values={draft.value} />
      </div>
      {failed && <ErrorBox error={failed} title="The call was not made" />}
      {call && (
        <CallPanel
          key={call.id}
          call={call}
          begun={call.id === begun}
          openResource={(uri) => go(path("s", server.id, "resources", uri))}
        />
      )}
      {call && uiOf(tool).uri && <AppSlot key={`view/${call.id}`} call={call} begun={call.id === begun} />}
      {made.length > 1 && (
        <section>
          <h3>Calls of this tool</h3>
          <ul class="history" aria-label="Calls of this tool">
            {made
              .slice(-OLDER)
              .reverse()
              .map((each) => (
                <li key={each.id}>
                  <button type="button" aria-pressed={each === call} onClick={() => show(each.id)}>
                    <CallBadge state={each.state} />
                    <span class="mono cut">{JSON.stringify(each.params["arguments"] ?? {})}</span>
                    <span class="muted">{each.began.slice(11, 19)}</span>
                  </button>
                </li>
              ))}
          </ul>
        </section>
      )}
      <details class="definition">
        <summary>Definition as it came</summary>
        <JsonView value={tool} label={`Definition of ${entry.title}`} depth={3} />
      </details>
    </div>
  );
}
