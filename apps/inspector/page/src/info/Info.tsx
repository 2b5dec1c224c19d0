// What a server says of itself; and the same server in another revision beside it.

import { useEffect, useState } from "preact/hooks";
import { api, errorView, type ErrorView, type InfoView, type Json, type JsonObject, type ServerView } from "../api.ts";
import { begin, ended } from "../calls/calling.ts";
import { NeedsServer } from "../calls/NeedsServer.tsx";
import { ServerCard } from "../card/ServerCard.tsx";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { OwnIcon } from "../components/OwnIcon.tsx";
import { OuterLink, Prose } from "../components/Prose.tsx";
import { isObject, same } from "../forms/schema.ts";
import { place } from "../servers/place.ts";
import { go, path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { revisions, servers } from "../store.ts";

export default function Info(props: ViewProps) {
  return (
    <NeedsServer server={props.server}>
      <InfoOf server={props.server!} />
    </NeedsServer>
  );
}

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");

function InfoOf({ server }: { server: ServerView }) {
  const [info, setInfo] = useState<InfoView | null>(null);
  const [error, setError] = useState<ErrorView | null>(null);
  useEffect(() => {
    let here = true;
    api.info(server.id).then(
      (found) => here && (setInfo(found), setError(null)),
      (problem: unknown) => here && setError(errorView(problem)),
    );
    return () => {
      here = false;
    };
  }, [server.id, server.state, server.revision, server.renewals]);
  if (error) return <ErrorBox error={error} />;
  if (!info) return <div class="loading" aria-busy="true" />;
  const own = info.serverInfo ?? {};
  const known = ["name", "title", "version", "description", "websiteUrl"];
  const rest = Object.fromEntries(Object.entries(own).filter(([name]) => !known.includes(name)));
  return (
    <div class="detail">
      <header class="stack">
        <div class="line">
          <OwnIcon of={own} at={info.icon} />
          <h2 class="detail-name">{text(own["title"]) || text(own["name"]) || server.name}</h2>
          {text(own["version"]) && <Badge>{text(own["version"])}</Badge>}
          <span class="grow" />
          <Ping server={server} />
        </div>
        {text(own["title"]) && <p class="mono muted">{text(own["name"])}</p>}
        {text(own["description"]) && <Prose text={text(own["description"])} />}
        {text(own["websiteUrl"]) && <OuterLink address={text(own["websiteUrl"])} />}
        <p class="mono muted breaks">{place(server.target)}</p>
      </header>
      {info.warnings.map((each) => (
        <div key={each} class="note-box" data-tone="warning">
          {each}
        </div>
      ))}
      <Eras server={server} info={info} />
      <section class="stack">
        <h3>Instructions</h3>
        {info.instructions ? (
          <div class="note-box">
            <Prose text={info.instructions} />
          </div>
        ) : (
          <p class="muted">It gives a model none.</p>
        )}
      </section>
      <Capabilities title="What the server can do" capabilities={info.capabilities} />
      <Capabilities title="What this client said that it can do" capabilities={info.clientCapabilities} />
      <ServerCard key={server.id} server={server} />
      {Object.keys(rest).length > 0 && (
        <section class="stack">
          <h3>Besides</h3>
          <JsonView value={rest} label="What else the server says of itself" />
        </section>
      )}
    </div>
  );
}

function Ping({ server }: { server: ServerView }) {
  const ping = async () => {
    try {
      const call = await ended((await begin(server.id, { kind: "ping" })).id);
      if (call.error) tell(call.error);
      else tell(`${server.name} answered in ${((call.seconds ?? 0) * 1000).toFixed(1)} ms.`);
    } catch (problem) {
      tell(errorView(problem));
    }
  };
  return (
    <Button small onClick={() => void ping()}>
      Ping
    </Button>
  );
}

/** Its name, and inside it what it says: one table row for each. */
function Capabilities({ title, capabilities }: { title: string; capabilities: JsonObject | null }) {
  const rows = Object.entries(capabilities ?? {});
  return (
    <section class="stack">
      <h3>{title}</h3>
      {rows.length ? (
        <table class="table">
          <tbody>
            {rows.map(([name, value]) => (
              <tr key={name}>
                <th scope="row" class="mono">
                  {name}
                </th>
                <td>
                  <Said value={value} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p class="muted">Nothing is declared.</p>
      )}
    </section>
  );
}

function Said({ value }: { value: Json }) {
  if (!isObject(value)) return <code>{JSON.stringify(value)}</code>;
  const flags = Object.entries(value);
  if (!flags.length) return <span class="muted">yes</span>;
  if (flags.some(([, each]) => typeof each !== "boolean"))
    return <JsonView value={value} label="What it says of it" copy={false} />;
  return (
    <span class="line">
      {flags.map(([name, on]) => (
        <Badge key={name} tone={on ? "ok" : "plain"}>
          {name}: {String(on)}
        </Badge>
      ))}
    </span>
  );
}

/** The same server, spoken to in another revision: a second connection, shown beside this one. */
function Eras({ server, info }: { server: ServerView; info: InfoView }) {
  const others = servers.value.filter((each) => each.id !== server.id && same({ ...each.target }, { ...server.target }));
  const free = revisions.value.filter(
    (each) => each !== info.revision && !others.some((other) => other.settings.revision === each),
  );
  const connect = async (revision: string) => {
    try {
      const made = await api.addServer({
        name: `${server.name} (${revision})`,
        target: server.target,
        settings: { ...server.settings, revision },
        connect: true,
      });
      go(path("s", made.id, "info"), 1);
    } catch (problem) {
      tell(errorView(problem));
    }
  };
  return (
    <section class="stack">
      <h3>Revision</h3>
      <div class="line">
        <Badge tone="accent">{info.revision}</Badge>
        <Badge>{info.era}</Badge>
        {others.map((each) => (
          <Button key={each.id} small onClick={() => go(path("s", each.id, "info"), 1)}>
            {each.revision || each.settings.revision} beside this
          </Button>
        ))}
        {free.length > 0 && (
          <select
            class="select narrow"
            aria-label="Speak another revision beside this one"
            value=""
            onChange={(event) => void connect(event.currentTarget.value)}
          >
            <option value="">speak another beside it…</option>
            {free.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        )}
      </div>
    </section>
  );
}
