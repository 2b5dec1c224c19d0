// Something that a server asks the person, with all ways to answer it.

import { useState } from "preact/hooks";
import { api, errorView, type ErrorView, type Json, type JsonObject, type QuestionView } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { Prose } from "../components/Prose.tsx";
import { Editor } from "../forms/Editor.tsx";
import { initial } from "../forms/plan.ts";
import { asSchema, isObject } from "../forms/schema.ts";
import { serverById } from "../store.ts";
import { lookedAt } from "./address.ts";
import { firstResult, modelAnswer, Roots, RoundInput, Sampling } from "./answers.tsx";

const TITLES: Record<QuestionView["kind"], string> = {
  form: "The server asks you",
  visit: "The server wants you to visit an address",
  login: "The server wants you to log in",
  sampling: "The server asks your model",
  roots: "The server asks which folders it may see",
  round: "The server needs more before it answers",
  "app-call": "A view wants to call a tool",
  "app-link": "A view wants to open an address",
};

const ACCEPT: Partial<Record<QuestionView["kind"], string>> = { round: "Go on with these", "app-call": "Allow" };

/** A question. What is typed stays in it until it is answered. */
export function QuestionCard({ question }: { question: QuestionView }) {
  const [value, change] = useState<Json | undefined>(() => first(question));
  const [readable, setReadable] = useState(true);
  const [opened, setOpened] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ErrorView | null>(null);
  const server = serverById.value.get(question.server);
  const answer = async (action: "accept" | "decline" | "cancel", content?: Json) => {
    setBusy(true);
    setError(null);
    try {
      await api.answer(question.id, action, content);
    } catch (problem) {
      setError(errorView(problem));
    }
    setBusy(false);
  };
  const visit = ["visit", "login", "app-link"].includes(question.kind);
  const round = question.params?.["round"];
  return (
    <article class="card question" aria-label={TITLES[question.kind]}>
      <header class="card-head">
        <strong>{TITLES[question.kind]}</strong>
        {server && <Badge tone="accent">{server.name}</Badge>}
        {typeof round === "number" && <Badge>round {round}</Badge>}
      </header>
      <div class="card-body">
        {question.message && <Prose text={question.message} />}
        {visit ? (
          <Address question={question} />
        ) : (
          <Asked question={question} value={value} change={change} readable={setReadable} />
        )}
        {error && <ErrorBox error={error} title="The answer was not taken" />}
        <div class="line">
          {visit ? (
            <Visit question={question} opened={opened} busy={busy} open={() => setOpened(true)} answer={answer} />
          ) : (
            <Button
              kind="primary"
              disabled={busy || !readable}
              onClick={() => void answer("accept", question.kind === "form" && value === undefined ? {} : value)}
            >
              {ACCEPT[question.kind] ?? "Answer"}
            </Button>
          )}
          {question.kind === "app-call" && (
            <Button disabled={busy} onClick={() => void answer("accept", "always")}>
              Allow all of this view
            </Button>
          )}
          {question.kind !== "roots" && (
            <Button disabled={busy} onClick={() => void answer("decline")}>
              Decline
            </Button>
          )}
          {!question.kind.startsWith("app-") && (
            <Button kind="quiet" disabled={busy} onClick={() => void answer("cancel")}>
              Cancel
            </Button>
          )}
        </div>
      </div>
    </article>
  );
}

function inputs(params: JsonObject | null): JsonObject {
  const asked = params?.["inputRequests"];
  return isObject(asked) ? asked : {};
}

function first(question: QuestionView): Json | undefined {
  const roots = serverById.value.get(question.server)?.settings.roots ?? [];
  switch (question.kind) {
    case "form":
      return initial(asSchema(question.schema ?? undefined)) ?? {};
    case "sampling":
      return modelAnswer();
    case "roots":
      return roots.map((uri) => ({ uri: uri.includes(":") ? uri : `file://${uri}` }));
    case "round":
      return Object.fromEntries(
        Object.entries(inputs(question.params)).map(([name, each]) => [name, firstResult(each, roots)]),
      );
    default:
      return undefined;
  }
}

interface AskedProps {
  question: QuestionView;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  readable: (readable: boolean) => void;
}

function Asked({ question, value, change, readable }: AskedProps) {
  const params = question.params ?? {};
  switch (question.kind) {
    case "form":
      return (
        <Editor
          schema={asSchema(question.schema ?? undefined)}
          value={value}
          change={change}
          label="Your answer"
          readable={readable}
        />
      );
    case "sampling":
      return <Sampling {...{ params, value, change, readable }} />;
    case "roots":
      return <Roots {...{ value, change }} />;
    case "app-call":
      return <JsonView value={params} label="The call" depth={3} />;
    default:
      return <Round params={params} value={value} change={change} />;
  }
}

function Round({ params, value, change }: { params: JsonObject; value: Json | undefined; change: AskedProps["change"] }) {
  const given = isObject(value) ? value : {};
  const asked = Object.entries(inputs(params));
  const rest = Object.fromEntries(Object.entries(params).filter(([name]) => !["inputRequests", "round"].includes(name)));
  return (
    <div class="stack">
      {asked.map(([name, request]) => (
        <RoundInput
          key={name}
          name={name}
          request={isObject(request) ? request : {}}
          value={given[name]}
          change={(result) => change({ ...given, [name]: result ?? {} })}
        />
      ))}
      {!asked.length && <p class="muted">It asks for nothing: the call is sent again as it was.</p>}
      {Object.keys(rest).length > 0 && <JsonView value={rest} label="What else the round says" depth={1} />}
    </div>
  );
}

function Address({ question }: { question: QuestionView }) {
  const looked = lookedAt(question.url, question.host);
  return (
    <div class="stack">
      <p class="address mono">
        {looked.before}
        <strong>{looked.host}</strong>
        {looked.after}
      </p>
      {looked.warnings.map((each) => (
        <div key={each} class="note-box" data-tone="warning">
          {each}
        </div>
      ))}
    </div>
  );
}

interface VisitProps {
  question: QuestionView;
  opened: boolean;
  busy: boolean;
  open: () => void;
  answer: (action: "accept" | "decline" | "cancel", content?: Json) => Promise<void>;
}

/** Nothing is opened before the person has seen where it leads, and said yes. */
function Visit({ question, opened, busy, open, answer }: VisitProps) {
  const looked = lookedAt(question.url, question.host);
  const go = () => {
    window.open(question.url, "_blank", "noopener,noreferrer");
    open();
    void answer("accept");
  };
  if (!opened)
    return (
      <Button kind="primary" icon="open" disabled={busy || !looked.usable} onClick={go}>
        Open {looked.host || "it"}
      </Button>
    );
  return (
    <Button kind="primary" disabled={busy} onClick={() => void answer("accept", "done")}>
      I have done it
    </Button>
  );
}
