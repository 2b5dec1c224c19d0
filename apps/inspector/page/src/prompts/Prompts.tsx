// Prompts: filled in with the server's completions, and rendered as the messages that they become.

import { useMemo, useState } from "preact/hooks";
import { errorView, type ErrorView, type Json, type JsonObject, type ServerView } from "../api.ts";
import { CallPanel } from "../calls/CallPanel.tsx";
import { begin, completions, useList } from "../calls/calling.ts";
import { Catalogue, type Entry } from "../calls/Catalogue.tsx";
import { CopyLink, FromLink } from "../calls/FormLink.tsx";
import { VALUES } from "../calls/links.ts";
import { NeedsServer } from "../calls/NeedsServer.tsx";
import { useLink } from "../calls/useLink.ts";
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
import { path } from "../shell/route.ts";
import type { ViewProps } from "../shell/views.ts";
import { calls } from "../store.ts";

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");

export default function Prompts(props: ViewProps) {
  return (
    <NeedsServer server={props.server}>
      <PromptsOf {...props} server={props.server!} />
    </NeedsServer>
  );
}

function PromptsOf({ server, rest, query, open, go }: ViewProps & { server: ServerView }) {
  const listed = useList(server.id, "prompts");
  const entries = useMemo<Entry[]>(
    () =>
      (listed.list?.items ?? []).map((item, at) => ({
        key: text(item["name"]) || `#${at}`,
        title: text(item["name"]) || "no name",
        detail: text(item["title"]) || text(item["description"]).split("\n")[0] || "",
        item,
        notes: listed.list?.notes[at] ?? [],
        icon: listed.list?.icons[at],
      })),
    [listed.list],
  );
  const chosen = rest[0] ?? "";
  const entry = entries.find((each) => each.key === chosen);
  return (
    <Split
      name="catalogue"
      label="Width of the list"
      share={34}
      first={<Catalogue {...{ listed, entries, chosen }} what="prompts" choose={(key) => open([key], {}, true)} />}
      second={
        entry ? (
          <Prompt
            key={`${server.id}/${entry.key}`}
            {...{ server, entry, go }}
            given={query.get(VALUES)}
            taken={() => open([entry.key], {}, true)}
          />
        ) : (
          <Empty icon="prompt" title={chosen && listed.list ? "There is no such prompt" : "Choose a prompt"} />
        )
      }
    />
  );
}

/** The arguments of a prompt as a schema: all are texts. */
export function schemaOf(prompt: JsonObject): JsonObject {
  const named = (Array.isArray(prompt["arguments"]) ? prompt["arguments"] : []).filter(isObject);
  return {
    type: "object",
    properties: Object.fromEntries(
      named.map((each) => [
        text(each["name"]),
        {
          type: "string",
          ...(text(each["title"]) && { title: text(each["title"]) }),
          ...(text(each["description"]) && { description: text(each["description"]) }),
        },
      ]),
    ),
    required: named.filter((each) => each["required"] === true).map((each) => text(each["name"])),
    additionalProperties: false,
  };
}

const drafts = new Map<string, Json | undefined>();

interface PromptProps {
  server: ServerView;
  entry: Entry;
  go: (address: string) => void;
  /** The values of the address, and what takes them out of it. */
  given: string | null;
  taken: () => void;
}

function Prompt({ server, entry, go, given, taken }: PromptProps) {
  const prompt = entry.item;
  const name = text(prompt["name"]);
  const schema = useMemo(() => schemaOf(prompt), [prompt]);
  const draftKey = `${server.id}/${entry.key}`;
  const [value, setValue] = useState<Json | undefined>(() => drafts.get(draftKey) ?? {});
  const [error, setError] = useState<ErrorView | null>(null);
  const change = (next: Json | undefined) => {
    drafts.set(draftKey, next);
    setValue(next);
  };
  const linked = useLink(given, change, taken);
  const values = isObject(value) ? value : {};
  const call = calls.value.findLast((each) => each.server === server.id && each.kind === "prompt" && each.name === name);
  const run = async () => {
    setError(null);
    try {
      await begin(server.id, { kind: "prompt", name, arguments: values });
    } catch (problem) {
      setError(errorView(problem));
    }
  };
  const context = (without: string) =>
    Object.fromEntries(
      Object.entries(values).filter((each): each is [string, string] => typeof each[1] === "string" && each[0] !== without),
    );
  return (
    <div
      class="detail scroll"
      onKeyDown={(event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && void run()}
    >
      <header class="stack">
        <div class="line">
          <OwnIcon of={prompt} at={entry.icon} />
          <h2 class="mono detail-name">{plain(entry.title)}</h2>
        </div>
        {text(prompt["title"]) && <strong>{plain(text(prompt["title"]))}</strong>}
        {text(prompt["description"]) && <Prose text={text(prompt["description"])} />}
        <FindingNotes notes={entry.notes} />
      </header>
      <FromLink {...linked} />
      <Form
        schema={schema}
        value={value}
        change={change}
        complete={(argument, typed) => completions(server.id, name, argument, typed, context(argument))}
      />
      <div class="line">
        <Button kind="primary" icon="play" title="Ctrl Enter" onClick={() => void run()}>
          Get
        </Button>
        <CopyLink place={path("s", server.id, "prompts", entry.key)} values={value} />
      </div>
      {error && <ErrorBox error={error} />}
      {call && (
        <CallPanel key={call.id} call={call} openResource={(uri) => go(path("s", server.id, "resources", uri))} />
      )}
      <details class="definition">
        <summary>Definition as it came</summary>
        <JsonView value={prompt} label={`Definition of ${entry.title}`} depth={3} />
      </details>
    </div>
  );
}
