// All servers at a glance: added, imported from what hosts have, edited, connected, put beside each other.

import { useState } from "preact/hooks";
import { api, errorView, type ServerView } from "../api.ts";
import { Badge, StateBadge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { Dialog } from "../components/Dialog.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { go, path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { servers } from "../store.ts";
import { Import } from "./Import.tsx";
import { ServerForm } from "./ServerForm.tsx";
import { place } from "./place.ts";

type Shown = { what: "add" } | { what: "import" } | { what: "edit" | "remove"; server: ServerView } | null;

export default function Servers(_: ViewProps) {
  const [shown, show] = useState<Shown>(null);
  const close = () => show(null);
  return (
    <div class="detail wide">
      <header class="line">
        <h1>Servers</h1>
        <span class="grow" />
        <Button icon="save" onClick={() => show({ what: "import" })}>
          Import from a host
        </Button>
        <Button kind="primary" icon="plus" onClick={() => show({ what: "add" })}>
          Add a server
        </Button>
      </header>
      {servers.value.length ? (
        <ul class="servers">
          {servers.value.map((each) => (
            <li key={each.id}>
              <Card server={each} show={show} />
            </li>
          ))}
        </ul>
      ) : (
        <Empty icon="server" title="No server yet">
          <p>Add one by its command or its address, or take those that a host on this machine knows.</p>
        </Empty>
      )}
      {shown?.what === "add" && (
        <Dialog label="Add a server" close={close} wide>
          <ServerForm server={null} close={close} />
        </Dialog>
      )}
      {shown?.what === "edit" && (
        <Dialog label={`Settings of ${shown.server.name}`} close={close} wide>
          <ServerForm server={shown.server} close={close} />
        </Dialog>
      )}
      {shown?.what === "import" && (
        <Dialog label="Import from a host" close={close} wide>
          <Import />
        </Dialog>
      )}
      {shown?.what === "remove" && <Remove server={shown.server} close={close} />}
    </div>
  );
}

function Card({ server, show }: { server: ServerView; show: (shown: Shown) => void }) {
  const on = ["ready", "renewing", "connecting"].includes(server.state);
  const turn = () =>
    (on ? api.disconnect(server.id) : api.connect(server.id)).catch((problem: unknown) => tell(errorView(problem)));
  const at = servers.value.findIndex((each) => each.id === server.id);
  const move = (by: number) => api.moveServer(server.id, by).catch((problem: unknown) => tell(errorView(problem)));
  return (
    <article class="card" aria-label={server.name}>
      <header class="card-head">
        <a class="server-name" href={`#${path("s", server.id)}`}>
          {server.name}
        </a>
        <StateBadge state={server.state} />
        {server.revision && <Badge>{server.revision}</Badge>}
        {server.settings.revision !== "auto" && server.settings.revision !== server.revision && (
          <Badge title="The revision that is asked for">wants {server.settings.revision}</Badge>
        )}
      </header>
      <div class="card-body">
        <p class="mono server-place">{place(server.target)}</p>
        {server.source && <p class="muted">from {server.source}</p>}
        {server.error && <ErrorBox error={server.error} />}
        <div class="line">
          <Button small kind={on ? "plain" : "primary"} onClick={() => void turn()}>
            {on ? "Disconnect" : server.state === "login" ? "Log in" : "Connect"}
          </Button>
          <Button small icon="edit" onClick={() => show({ what: "edit", server })}>
            Settings
          </Button>
          <Button small onClick={() => go(path("s", server.id), 1)} title="Show it at the right of what is seen">
            Beside
          </Button>
          <span class="grow" />
          <span class="server-marks">
            {servers.value.length > 1 && (
              <>
                <IconButton icon="up" label="Move up" disabled={at === 0} onClick={() => void move(-1)} />
                <IconButton icon="down" label="Move down" disabled={at === servers.value.length - 1} onClick={() => void move(1)} />
              </>
            )}
            <IconButton icon="trash" label="Remove" onClick={() => show({ what: "remove", server })} />
          </span>
        </div>
      </div>
    </article>
  );
}

function Remove({ server, close }: { server: ServerView; close: () => void }) {
  const remove = async () => {
    try {
      await api.removeServer(server.id);
    } catch (problem) {
      tell(errorView(problem));
    }
    close();
  };
  return (
    <Dialog label={`Remove ${server.name}?`} close={close}>
      <div class="dialog-body">
        <p>It is disconnected, and taken from this list. What was said stays in its capture.</p>
        <div class="dialog-foot">
          <Button onClick={close}>Keep it</Button>
          <Button kind="danger" onClick={() => void remove()}>
            Remove
          </Button>
        </div>
      </div>
    </Dialog>
  );
}
