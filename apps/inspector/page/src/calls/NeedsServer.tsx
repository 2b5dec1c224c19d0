import type { ComponentChildren } from "preact";
import { api, errorView, type ServerView } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { logIn } from "../login/entering.ts";
import { go, path } from "../shell/route.ts";
import { tell } from "../shell/Toasts.tsx";

const TITLES: Partial<Record<ServerView["state"], string>> = { idle: "Not connected", lost: "The connection was lost" };
const SPEAKING = new Set(["ready", "renewing"]);

/** What is inside needs a server that answers; until there is one: why not, and what to do. */
export function NeedsServer({ server, children }: { server: ServerView | null; children: ComponentChildren }) {
  if (!server) return <Empty icon="server" title="This belongs to a server" />;
  if (SPEAKING.has(server.state)) return <>{children}</>;
  if (server.state === "connecting")
    return (
      <Empty icon="server" title="Connecting">
        <p>
          {server.target.url
            ? "The server is asked what it speaks."
            : "The server is started, and asked what it speaks. It has to answer on standard output, with messages and nothing else."}
        </p>
        <div class="line">
          {server.target.url && <Steps server={server} />}
          <Look server={server} />
        </div>
      </Empty>
    );
  const connect = () => api.connect(server.id).catch((problem: unknown) => tell(errorView(problem)));
  const enter = () => logIn(server).catch((problem: unknown) => tell(errorView(problem)));
  if (server.state === "login")
    return (
      <Empty icon="key" title="The server wants to know who you are">
        {server.error && <ErrorBox error={server.error} />}
        <div class="line">
          <Button kind="primary" icon="key" onClick={() => void enter()}>
            Log in
          </Button>
          <Steps server={server} />
        </div>
      </Empty>
    );
  return (
    <Empty icon="server" title={TITLES[server.state] ?? "The connection failed"}>
      {server.error && <ErrorBox error={server.error} />}
      <div class="line">
        <Button kind="primary" onClick={() => void connect()}>
          {server.state === "idle" ? "Connect" : "Try again"}
        </Button>
        {server.state !== "idle" && <Look server={server} />}
      </div>
    </Empty>
  );
}

/** Where it stands what went wrong, or what keeps it from answering. */
function Look({ server }: { server: ServerView }) {
  const to = (view: string) => () => go(path("s", server.id, view));
  return (
    <>
      <Button onClick={to("transcript")}>What was said</Button>
      {!server.target.url && <Button onClick={to("stderr")}>What it wrote</Button>}
    </>
  );
}

function Steps({ server }: { server: ServerView }) {
  return <Button onClick={() => go(path("s", server.id, "login"))}>The login, step by step</Button>;
}
