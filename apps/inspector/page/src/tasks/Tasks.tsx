// The tasks of a server: what goes on there, how far it is, and what came of it.

import { useEffect, useReducer, useState } from "preact/hooks";
import { errorView, get, post, serverPath, type ErrorView, type JsonObject, type ServerView } from "../api.ts";
import { calls } from "../store.ts";
import { Badge, type Tone } from "../components/Badge.tsx";
import { Button } from "../components/Button.tsx";
import { Empty } from "../components/Empty.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { tell } from "../shell/Toasts.tsx";
import type { ViewProps } from "../shell/views.ts";
import { counted, duration } from "../transcript/amounts.ts";
import { visible } from "../transcript/shown.ts";
import { hasEnded, nextLook, taskOf, type Task } from "./data.ts";
import "../transcript/transcript.css";

const TONES: Record<string, Tone> = {
  working: "ask",
  input_required: "warning",
  completed: "ok",
  failed: "error",
  cancelled: "warning",
};

export default function Tasks({ server }: ViewProps) {
  if (!server) return null;
  if (server.state !== "ready")
    return (
      <Empty icon="task" title="Not connected">
        <p>Tasks are asked for at the server: connect to it first.</p>
      </Empty>
    );
  return <TaskList key={server.id} server={server} />;
}

function TaskList({ server }: { server: ServerView }) {
  const [tasks, set] = useState<Task[] | null>(null);
  const [error, fail] = useState<ErrorView | null>(null);
  const [look, again] = useReducer((times: number) => times + 1, 0);
  const started = calls.value.filter((each) => each.server === server.id && each.task).length;
  useEffect(() => {
    let here = true;
    let timer = 0;
    get<{ tasks: JsonObject[] }>(serverPath(server.id, "tasks")).then(
      (found) => {
        if (!here) return;
        const read = found.tasks.map(taskOf).filter((each) => each !== null);
        set(read);
        fail(null);
        const wait = nextLook(read);
        if (wait) timer = window.setTimeout(() => again(0), wait);
      },
      (problem: unknown) => here && fail(errorView(problem)),
    );
    return () => {
      here = false;
      window.clearTimeout(timer);
    };
  }, [server.id, look, started]);
  const cancel = (task: Task) => {
    post(serverPath(server.id, "tasks", task.id, "cancel")).then(
      () => again(0),
      (problem: unknown) => tell(errorView(problem)),
    );
  };
  return (
    <div class="rec">
      <div class="rec-tools">
        <span class="muted" role="status">
          {tasks ? counted(tasks.length, "task") : "…"}
        </span>
        <span class="grow" />
        <Button small icon="refresh" onClick={() => again(0)}>
          Look again
        </Button>
      </div>
      <div class="scroll pad stack" tabIndex={0} role="region" aria-label="Tasks">
        {error && <ErrorBox error={error} title="The tasks can't be listed" />}
        {tasks?.length === 0 && !error && (
          <Empty icon="task" title="There are no tasks">
            <p>A tool that takes long can be run as a task: choose that where you call it.</p>
          </Empty>
        )}
        <ul class="stack">
          {tasks?.map((each) => (
            <TaskCard key={each.id} task={each} call={callOf(server.id, each.id)} cancel={() => cancel(each)} />
          ))}
        </ul>
      </div>
    </div>
  );
}

function callOf(server: string, task: string) {
  return calls.value.findLast((each) => each.server === server && each.task === task);
}

function TaskCard({ task, call, cancel }: { task: Task; call: ReturnType<typeof callOf>; cancel: () => void }) {
  const last = call?.progress.at(-1);
  return (
    <li class="card">
      <div class="card-head">
        <Badge tone={TONES[task.status] ?? "plain"}>{visible(task.status) || "unknown"}</Badge>
        <strong class="mono breaks">{call ? `${call.method} ${call.name}` : visible(task.id)}</strong>
        <span class="grow" />
        {!hasEnded(task) && (
          <Button small kind="danger" onClick={cancel}>
            Cancel
          </Button>
        )}
      </div>
      <div class="card-body">
        {task.message && <p class="breaks">{visible(task.message)}</p>}
        {last && !hasEnded(task) && (
          <label class="line">
            <progress max={last.total ?? undefined} value={last.total === null ? undefined : last.progress} />
            <span class="muted">{visible(last.message) || `${last.progress}${last.total === null ? "" : ` of ${last.total}`}`}</span>
          </label>
        )}
        <dl class="facts">
          <div>
            <dt>id</dt>
            <dd class="mono">{visible(task.id)}</dd>
          </div>
          {task.created && (
            <div>
              <dt>began</dt>
              <dd>{visible(task.created)}</dd>
            </div>
          )}
          {task.updated && (
            <div>
              <dt>last changed</dt>
              <dd>{visible(task.updated)}</dd>
            </div>
          )}
          <div>
            <dt>kept for</dt>
            <dd>{task.ttl === null ? "as long as the server likes" : duration(task.ttl / 1000)}</dd>
          </div>
        </dl>
        <JsonView value={task.whole} label="The task" depth={0} />
        {call?.error && <ErrorBox error={call.error} />}
        {call && call.state === "done" && <JsonView value={call.result} label="Its result" depth={3} />}
      </div>
    </li>
  );
}
