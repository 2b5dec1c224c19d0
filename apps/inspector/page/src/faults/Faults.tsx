// Relays between hosts and servers: which there are, and what is broken on purpose in them.

import { useEffect, useState } from "preact/hooks";
import { errorView, type ErrorView } from "../api.ts";
import { transcriptById } from "../store.ts";
import { Badge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { visible } from "../transcript/shown.ts";
import { addFault, FAULT_KINDS, loadFaults, MATCHER, removeFault, wordsOf, type FaultsView, type Member, type RelayView } from "./data.ts";
import "../transcript/transcript.css";
import "./faults.css";

const AGAIN = 1000;

export default function Faults({ go }: ViewProps) {
  const [found, set] = useState<FaultsView | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  useEffect(() => {
    let here = true;
    let timer = 0;
    const look = async () => {
      try {
        const now = await loadFaults();
        if (!here) return;
        set(now);
        fail(null);
      } catch (problem) {
        if (here) fail(errorView(problem));
      }
      // How often each struck is told by nobody: it is asked for while somebody looks.
      if (here) timer = window.setTimeout(() => void look(), AGAIN);
    };
    void look();
    return () => {
      here = false;
      window.clearTimeout(timer);
    };
  }, []);
  const done = (deed: Promise<FaultsView>) => deed.then(set, (problem: unknown) => tell(errorView(problem)));
  return (
    <div class="scroll pad stack faults">
      <h1>Faults</h1>
      <p class="muted">
        A relay stands between a host and its server, and shows all that passes. A fault makes it delay, drop or change what
        you name, so that you see how both cope.
      </p>
      {error && <ErrorBox error={error} title="The relays can't be listed" />}
      {found?.relays.length === 0 && (
        <Empty icon="fault" title="No relay runs">
          <p>
            Have a host start <code>dovetail inspect --between -- COMMAND</code> in the place of its server, or run{" "}
            <code>dovetail inspect --between URL</code>: it is found by itself.
          </p>
        </Empty>
      )}
      {found?.relays.map((each) => (
        <Relay key={each.name} relay={each} add={(words) => done(addFault(each.name, words))} drop={(id) => void done(removeFault(id))} go={go} />
      ))}
    </div>
  );
}

interface RelayProps {
  relay: RelayView;
  add: (words: string) => Promise<void>;
  drop: (id: string) => void;
  go: (address: string) => void;
}

function Relay({ relay, add, drop, go }: RelayProps) {
  const watched = relay.transcript !== null && transcriptById.value.has(relay.transcript);
  return (
    <section class="card" aria-label={`Relay ${relay.name}`}>
      <div class="card-head">
        <h2 class="mono breaks">{visible(relay.target)}</h2>
        <Badge>{relay.transport}</Badge>
        {relay.host && <Badge>{visible(`${relay.host}: ${relay.server}`)}</Badge>}
        <span class="grow" />
        <span class="muted">
          process {relay.process}
          {relay.url && `, at ${visible(relay.url)}`}
        </span>
        {watched && (
          <Button small kind="quiet" onClick={() => go(path("t", relay.transcript ?? "", "transcript"))}>
            What passes
          </Button>
        )}
      </div>
      <div class="card-body">
        {relay.problem && <p class="note-box" data-tone="warning">{visible(relay.problem)}</p>}
        {relay.faults.length > 0 ? (
          <table class="table">
            <caption class="seen-by-readers">Faults in force</caption>
            <thead>
              <tr>
                <th scope="col">Fault</th>
                <th scope="col">Fitted</th>
                <th scope="col">Struck</th>
                <th scope="col">
                  <span class="seen-by-readers">Take it out</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {relay.faults.map((each) => (
                <tr key={each.id}>
                  <th scope="row">
                    <code class="breaks">{visible(each.words)}</code>
                  </th>
                  <td class="mono">{each.matched}</td>
                  <td class="mono">{each.struck}</td>
                  <td>
                    <IconButton icon="trash" label={`Take out: ${each.words}`} onClick={() => drop(each.id)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <p class="muted">All passes as it is.</p>
        )}
        {!relay.problem && <NewFault http={relay.transport === "http"} add={add} />}
      </div>
    </section>
  );
}

function NewFault({ http, add }: { http: boolean; add: (words: string) => Promise<void> }) {
  const kinds = FAULT_KINDS.filter((each) => http || !each.http);
  const [name, setName] = useState(kinds[0]!.kind);
  const [members, setMembers] = useState<Record<string, string>>({});
  const [sender, setSender] = useState("");
  const [busy, work] = useState(false);
  const kind = kinds.find((each) => each.kind === name) ?? kinds[0]!;
  const known = [...kind.members, ...MATCHER];
  const given = Object.fromEntries(known.map((each) => [each.name, members[each.name] ?? ""]));
  const words = wordsOf(kind.kind, { ...given, sender });
  const field = (each: Member) => (
    <label key={each.name} class="field">
      <span class="field-label">
        {each.name} <span class="muted">{each.says}</span>
      </span>
      <input
        class="input mono"
        placeholder={each.example}
        value={members[each.name] ?? ""}
        onInput={(event) => setMembers({ ...members, [each.name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <details class="faults-new">
      <summary>Put another in force</summary>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          work(true);
          void add(words).then(() => work(false));
        }}
      >
        <div class="faults-fields">
          <label class="field">
            <span class="field-label">
              kind <span class="muted">{kind.says}</span>
            </span>
            <select class="select" value={kind.kind} onChange={(event) => setName(event.currentTarget.value)}>
              {kinds.map((each) => (
                <option key={each.kind} value={each.kind}>
                  {each.kind}
                </option>
              ))}
            </select>
          </label>
          {kind.members.map(field)}
        </div>
        <div class="faults-fields">
          <label class="field">
            <span class="field-label">
              sender <span class="muted">whose messages</span>
            </span>
            <select class="select" value={sender} onChange={(event) => setSender(event.currentTarget.value)}>
              <option value="">as usual for this kind</option>
              <option value="server">the server's</option>
              <option value="client">the client's</option>
            </select>
          </label>
          {MATCHER.map(field)}
        </div>
        <div class="line">
          <code class="raw faults-words">{words}</code>
          <Button kind="primary" type="submit" icon="fault" disabled={busy}>
            Break it
          </Button>
        </div>
      </form>
    </details>
  );
}
