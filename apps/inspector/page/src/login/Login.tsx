// How one logs in to a server: each step with what was sent, what came back and what was decided, held where the person
// wants to go through them.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { api, errorView, type ErrorView, type LoginStepView, type LoginView, type QuestionView, type ServerView } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { QuestionCard } from "../questions/QuestionCard.tsx";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { hear, questions } from "../store.ts";
import { logIn } from "./entering.ts";
import { holds } from "./held.ts";
import { Step } from "./Step.tsx";
import { joined, logins, PARTIES } from "./steps.ts";
import "./login.css";

export default function Login(props: ViewProps) {
  if (!props.server) return <Empty icon="key" title="This belongs to a server" />;
  return <LoginOf key={props.server.id} {...props} server={props.server} />;
}

function useLogin(server: string): { login: LoginView | null; error: ErrorView | null } {
  const [login, set] = useState<LoginView | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  const [again, reset] = useReducer((times: number) => times + 1, 0);
  useEffect(() => {
    let here = true;
    let known: LoginView | null = null;
    let missed = false;
    const show = (next: LoginView) => {
      known = next;
      set(next);
      holds(server, next.waiting);
    };
    const load = async (): Promise<void> => {
      missed = false;
      try {
        const found = await api.login(server);
        if (!here) return;
        // What was told while it was on its way may be newer.
        if (missed) return await load();
        fail(null);
        show(found);
      } catch (problem) {
        if (here) fail(errorView(problem));
      }
    };
    void load();
    const ends = [
      hear("reset", () => reset(0)),
      hear("login", (news) => {
        if (news.server !== server) return;
        if (known) show({ ...news, steps: joined(known.steps, news) });
        else missed = true;
      }),
    ];
    return () => {
      here = false;
      ends.forEach((end) => end());
    };
  }, [server, again]);
  return { login, error };
}

function LoginOf({ server, rest }: ViewProps & { server: ServerView }) {
  const { login, error } = useLogin(server.id);
  const asked = questions.value.filter((each) => each.server === server.id && each.kind === "login");
  if (error) return <ErrorBox error={error} title="The login can't be shown" />;
  if (!login) return <div class="loading" aria-busy="true" />;
  return (
    <div class="detail wide login">
      <Controls server={server} login={login} />
      {!server.settings.login && (
        <div class="note-box" data-tone="warning">
          Logins are turned off in the settings of this server. “Log in” turns them on.
        </div>
      )}
      {server.error && <ErrorBox error={server.error} title="There is no connection" />}
      {asked.map((each) => (
        <Asked key={each.id} question={each} />
      ))}
      {login.steps.length ? (
        <Sequence steps={login.steps} chosen={Number(rest[0] ?? 0) || 0} />
      ) : (
        <Empty icon="key" title="Nobody has logged in yet">
          <p>
            {server.state === "ready"
              ? "The server let the client in without asking who it is."
              : "Connect: whatever the server asks for is shown here, step by step. With “Stop at each step” each of them waits for you."}
          </p>
        </Empty>
      )}
    </div>
  );
}

/** Where one is sent to log in; it is seen at once, wherever one was. */
function Asked({ question }: { question: QuestionView }) {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => element.current?.scrollIntoView({ block: "nearest" }), []);
  return (
    <div ref={element} class="login-asked">
      <QuestionCard question={question} />
    </div>
  );
}

function Controls({ server, login }: { server: ServerView; login: LoginView }) {
  const [busy, work] = useState(false);
  const stepping = server.settings.stepLogin;
  const off = ["idle", "failed", "login", "lost"].includes(server.state);
  const doing = (deed: () => Promise<unknown>) => async () => {
    work(true);
    try {
      await deed();
    } catch (problem) {
      tell(errorView(problem));
    }
    work(false);
  };
  const anew = async () => {
    await api.resetLogin(server.id);
    await logIn(server);
  };
  const stepLogin = !stepping;
  const turn = () => api.changeServer(server.id, { settings: { ...server.settings, stepLogin } });
  return (
    <div class="login-bar" role="group" aria-label="The login">
      <h2>Login</h2>
      <span role="status">
        {login.waiting ? (
          <Badge tone="ask">a step waits for you</Badge>
        ) : server.state === "connecting" ? (
          <Badge tone="ask">going on</Badge>
        ) : null}
      </span>
      <label class="check">
        <input type="checkbox" checked={stepping} disabled={busy} onChange={() => void doing(turn)()} />
        Stop at each step
      </label>
      <span class="grow" />
      {login.waiting ? (
        <>
          <Button kind="primary" icon="right" disabled={busy} onClick={() => void doing(() => api.stepLogin(server.id))()}>
            Go on
          </Button>
          <Button disabled={busy} onClick={() => void doing(() => api.stepLogin(server.id, true))()}>
            Run to the end
          </Button>
          <Button kind="danger" disabled={busy} onClick={() => void doing(() => api.disconnect(server.id))()}>
            Refuse
          </Button>
        </>
      ) : (
        <>
          {off && (
            <Button kind="primary" icon="key" disabled={busy} onClick={() => void doing(() => logIn(server))()}>
              Log in
            </Button>
          )}
          {login.steps.length > 0 && (
            <Button
              disabled={busy || server.state === "connecting"}
              title="Forget the tokens and the steps, and begin from nothing"
              onClick={() => void doing(anew)()}
            >
              Log in anew
            </Button>
          )}
          {login.steps.length > 0 && (
            <Button kind="quiet" icon="trash" disabled={busy} onClick={() => void doing(() => api.resetLogin(server.id))()}>
              Forget it
            </Button>
          )}
        </>
      )}
    </div>
  );
}

function Sequence({ steps, chosen }: { steps: LoginStepView[]; chosen: number }) {
  const all = logins(steps);
  const waits = steps.find((each) => each.held)?.id ?? 0;
  return (
    <div class="login-all">
      <div class="login-parties" aria-hidden="true">
        {PARTIES.map((each) => (
          <span key={each.party}>{each.text}</span>
        ))}
      </div>
      {all.map((login, at) => (
        <section key={login[0]!.id} class="login-one" aria-label={all.length > 1 ? `Login ${at + 1}` : "Steps of the login"}>
          {all.length > 1 && <h3>Login {at + 1}</h3>}
          <ol class="login-steps">
            {login.map((step) => (
              <Step
                key={step.id}
                step={step}
                open={step.id === waits || step.id === chosen || (step.state === "failed" && step.id === steps.at(-1)!.id)}
              />
            ))}
          </ol>
        </section>
      ))}
    </div>
  );
}
