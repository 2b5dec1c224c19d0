// Where a server is and how it is spoken to, to be typed in.

import { useId, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { api, errorView, type ErrorView, type Json, type JsonObject, type ServerView } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { go, path } from "../shell/route.ts";
import { revisions } from "../store.ts";
import { Secrets } from "./Secrets.tsx";
import { commandLine, lines, pairLines, pairs, words } from "./words.ts";

const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

interface Typed {
  name: string;
  remote: boolean;
  command: string;
  env: string;
  cwd: string;
  url: string;
  headers: string;
  revision: string;
  timeout: string;
  roots: string;
  logLevel: string;
  login: boolean;
  stepLogin: boolean;
  stepRounds: boolean;
  sampling: boolean;
  elicitation: boolean;
  apps: boolean;
  askAppCalls: boolean;
  meta: string;
  extensions: string;
}

function typedOf(server: ServerView | null): Typed {
  const target = server?.target;
  const settings = server?.settings;
  return {
    name: server?.name ?? "",
    remote: Boolean(target?.url),
    command: target?.command ? commandLine([target.command, ...target.args]) : "",
    env: pairLines(target?.env ?? {}, "="),
    cwd: target?.cwd ?? "",
    url: target?.url ?? "",
    headers: pairLines(target?.headers ?? {}, ":"),
    revision: settings?.revision ?? "auto",
    timeout: String(settings?.timeout ?? 60),
    roots: (settings?.roots ?? []).join("\n"),
    logLevel: settings?.logLevel ?? "",
    login: settings?.login ?? true,
    stepLogin: settings?.stepLogin ?? false,
    stepRounds: settings?.stepRounds ?? false,
    sampling: settings?.sampling ?? true,
    elicitation: settings?.elicitation ?? true,
    apps: settings?.apps ?? true,
    askAppCalls: settings?.askAppCalls ?? true,
    meta: written(settings?.meta),
    extensions: written(settings?.extensions),
  };
}

const written = (value: JsonObject | undefined) =>
  value && Object.keys(value).length ? JSON.stringify(value, null, 2) : "";

function objectOf(text: string, what: string): JsonObject {
  if (!text.trim()) return {};
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (problem) {
    throw new Error(`${what} cannot be read as JSON: ${problem instanceof Error ? problem.message : String(problem)}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${what} has to be an object, such as {}`);
  return value;
}

function draftOf(typed: Typed, host: string) {
  const [command = "", ...args] = words(typed.command);
  if (typed.remote && !typed.url.trim()) throw new Error("Type the address of the server, such as http://127.0.0.1:8000/mcp");
  if (!typed.remote && !command) throw new Error("Type the command that starts the server, such as python server.py");
  const timeout = Number(typed.timeout);
  if (!(timeout > 0)) throw new Error("The timeout has to be a number of seconds above 0");
  const target = typed.remote
    ? { command: "", args: [], env: {}, cwd: "", url: typed.url.trim(), headers: pairs(typed.headers, ":"), host }
    : { command, args, env: pairs(typed.env, "="), cwd: typed.cwd.trim(), url: "", headers: {}, host };
  const settings = {
    revision: typed.revision,
    timeout,
    roots: lines(typed.roots),
    logLevel: typed.logLevel,
    login: typed.login,
    stepLogin: typed.stepLogin,
    stepRounds: typed.stepRounds,
    sampling: typed.sampling,
    elicitation: typed.elicitation,
    apps: typed.apps,
    askAppCalls: typed.askAppCalls,
    meta: objectOf(typed.meta, "_meta"),
    extensions: objectOf(typed.extensions, "Extensions"),
  };
  return { name: typed.name.trim() || shortName(typed.remote ? typed.url : typed.command), target, settings };
}

/** A name for a server that nobody named. */
export function shortName(place: string): string {
  try {
    return new URL(place).host;
  } catch {
    return words(place).findLast((each) => !each.startsWith("-"))?.split(/[/\\]/).at(-1) || "server";
  }
}

export function ServerForm({ server, close }: { server: ServerView | null; close: () => void }) {
  const [typed, setTyped] = useState(() => typedOf(server));
  const [error, setError] = useState<ErrorView | null>(null);
  const set = (part: Partial<Typed>) => setTyped({ ...typed, ...part });
  const save = async (connect: boolean) => {
    try {
      const draft = draftOf(typed, server?.target.host ?? "");
      const saved = server ? await api.changeServer(server.id, draft) : await api.addServer({ ...draft, connect });
      // What was changed holds from the next connection on.
      if (server && connect) {
        await api.disconnect(server.id);
        await api.connect(server.id);
      }
      close();
      if (!server) go(path("s", saved.id));
    } catch (problem) {
      setError(errorView(problem));
    }
  };
  return (
    <form
      class="dialog-body"
      onSubmit={(event) => {
        event.preventDefault();
        void save(true);
      }}
    >
      <Target typed={typed} set={set} />
      <details>
        <summary>How it is spoken to</summary>
        <Settings typed={typed} set={set} />
      </details>
      {server && (
        <details>
          <summary>Secrets in the keyring of the system</summary>
          <Secrets id={server.id} />
        </details>
      )}
      {error && <ErrorBox error={error} title="Not saved" />}
      <div class="dialog-foot">
        <Button onClick={() => void save(false)}>{server ? "Save" : "Add without connecting"}</Button>
        <Button kind="primary" type="submit">
          {server ? "Save and connect anew" : "Add and connect"}
        </Button>
      </div>
    </form>
  );
}

interface PartProps {
  typed: Typed;
  set: (part: Partial<Typed>) => void;
}

function Labelled({ label, hint, children }: { label: string; hint?: string; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class="field">
      <label class="field-label" for={id}>
        {label} {hint && <span class="muted">{hint}</span>}
      </label>
      {children(id)}
    </div>
  );
}

interface TextProps {
  label: string;
  hint?: string;
  value: string;
  set: (value: string) => void;
  placeholder?: string;
  rows?: number;
}

function Line({ label, hint, value, set, placeholder, rows }: TextProps) {
  return (
    <Labelled label={label} {...(hint && { hint })}>
      {(id) =>
        rows ? (
          <textarea
            id={id}
            class="textarea"
            rows={rows}
            value={value}
            placeholder={placeholder}
            spellcheck={false}
            onInput={(event) => set(event.currentTarget.value)}
          />
        ) : (
          <input
            id={id}
            class="input mono"
            value={value}
            placeholder={placeholder}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => set(event.currentTarget.value)}
          />
        )
      }
    </Labelled>
  );
}

function Target({ typed, set }: PartProps) {
  return (
    <>
      <fieldset class="line">
        <legend class="seen-by-readers">Where the server is</legend>
        {[false, true].map((remote) => (
          <label key={String(remote)} class="check">
            <input type="radio" name="kind" checked={typed.remote === remote} onChange={() => set({ remote })} />
            {remote ? "At an address" : "Started by a command"}
          </label>
        ))}
      </fieldset>
      {typed.remote ? (
        <>
          <Line label="Address" value={typed.url} set={(url) => set({ url })} placeholder="http://127.0.0.1:8000/mcp" />
          <Line
            label="Headers"
            hint="one a line, Name: value"
            rows={2}
            value={typed.headers}
            set={(headers) => set({ headers })}
          />
        </>
      ) : (
        <>
          <Line
            label="Command"
            value={typed.command}
            set={(command) => set({ command })}
            placeholder="python server.py --verbose"
          />
          <Line label="Folder" hint="it is started in" value={typed.cwd} set={(cwd) => set({ cwd })} />
          <Line label="Environment" hint="one a line, NAME=value" rows={2} value={typed.env} set={(env) => set({ env })} />
        </>
      )}
      <Line label="Name" hint="as it is shown" value={typed.name} set={(name) => set({ name })} />
    </>
  );
}

const SWITCHES = [
  ["login", "Log in where the server asks for it"],
  ["elicitation", "Let it ask me (elicitation)"],
  ["sampling", "Let it ask my model (sampling)"],
  ["apps", "Show views of its tools (MCP Apps)"],
  ["askAppCalls", "Ask me before a view calls a tool"],
  ["stepLogin", "Stop at each step of a login, to see what is sent and decided"],
  ["stepRounds", "Stop at each round of a call, to see and edit what goes on"],
] as const;

function Settings({ typed, set }: PartProps) {
  return (
    <div class="stack settings">
      <Labelled label="Revision">
        {(id) => (
          <select
            id={id}
            class="select narrow"
            value={typed.revision}
            onChange={(event) => set({ revision: event.currentTarget.value })}
          >
            <option value="auto">the newest that both speak</option>
            {revisions.value.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        )}
      </Labelled>
      <Line label="Timeout" hint="seconds of a call" value={typed.timeout} set={(timeout) => set({ timeout })} />
      <Line label="Roots" hint="one a line, paths or URIs" rows={2} value={typed.roots} set={(roots) => set({ roots })} />
      <Labelled label="Log messages" hint="from this level on">
        {(id) => (
          <select
            id={id}
            class="select narrow"
            value={typed.logLevel}
            onChange={(event) => set({ logLevel: event.currentTarget.value })}
          >
            <option value="">as the server likes</option>
            {LEVELS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        )}
      </Labelled>
      {SWITCHES.map(([name, title]) => (
        <label key={name} class="check">
          <input
            type="checkbox"
            checked={typed[name]}
            onChange={(event) => set({ [name]: event.currentTarget.checked })}
          />
          {title}
        </label>
      ))}
      <Line label="_meta" hint="of each request, as JSON" rows={2} value={typed.meta} set={(meta) => set({ meta })} />
      <Line
        label="Extensions"
        hint="identifiers with settings, as JSON"
        rows={2}
        value={typed.extensions}
        set={(extensions) => set({ extensions })}
      />
    </div>
  );
}
