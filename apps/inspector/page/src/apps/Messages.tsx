// Every message between a view and its host, in its order.

import { useState } from "preact/hooks";
import { errorView, type AppMessageView, type ErrorView } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { ErrorBox } from "../components/ErrorBox.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { plain } from "../components/odd.ts";
import { isObject } from "../forms/schema.ts";
import { saveText } from "../transcript/copying.ts";
import { apps } from "./requests.ts";

export const MOST_SHOWN = 300;

const SENDERS: Record<AppMessageView["sender"], [string, string]> = {
  view: ["←", "from the view"],
  host: ["→", "to the view"],
  browser: ["!", "the browser"],
};

export function Messages({ messages, tool }: { messages: AppMessageView[]; tool: string }) {
  const save = () =>
    saveText(`${tool.replace(/[^\w.-]+/g, "-")}.view.jsonl`, messages.map((each) => `${JSON.stringify(each)}\n`).join(""));
  return (
    <section class="app-messages" aria-label={`Messages of the view of ${tool}`}>
      <header class="line">
        <h3>Messages</h3>
        <span class="muted">{messages.at(-1)?.n ?? 0}</span>
        <span class="grow" />
        <Button small kind="quiet" icon="save" disabled={!messages.length} onClick={save}>
          Save
        </Button>
      </header>
      <ol tabIndex={0} aria-label="Messages, oldest first">
        {messages.map((each) => (
          <Row key={each.n} message={each} />
        ))}
      </ol>
      {!messages.length && <p class="muted">None yet.</p>}
    </section>
  );
}

/** A request and its answer have a method between them: that of an answer is what it answers by its id. */
function title(message: AppMessageView): string {
  if (message.method) return message.method;
  const said = isObject(message.message) ? message.message : {};
  if (said["error"] !== undefined) return "error";
  return message.sender === "browser" ? "kept from it" : said["result"] !== undefined || message.omitted ? "result" : "unreadable";
}

function Row({ message }: { message: AppMessageView }) {
  const [open, turn] = useState(false);
  const [mark, who] = SENDERS[message.sender];
  const id = message.id === null ? "" : `, id ${plain(JSON.stringify(message.id))}`;
  return (
    <li data-sender={message.sender} data-noted={message.note ? "" : undefined}>
      <button type="button" class="app-message" aria-expanded={open} onClick={() => turn(!open)}>
        <span class="app-mark" role="img" aria-label={who} title={who}>
          {mark}
        </span>
        <span>
          <span class="mono breaks">
            {plain(title(message))
              .split(/(?<=\/)/)
              .map((part, at) => [at > 0 && <wbr key={at} />, part])}
          </span>
          <span class="muted app-when">
            {message.time.slice(11, 23)}
            {id}
          </span>
        </span>
      </button>
      {message.note && <p class="app-note">{plain(message.note)}</p>}
      {open && <Body message={message} />}
    </li>
  );
}

function Body({ message }: { message: AppMessageView }) {
  const [whole, setWhole] = useState(message);
  const [error, fail] = useState<ErrorView | null>(null);
  const fetchWhole = () =>
    apps.message(message.app, message.n).then(setWhole, (problem: unknown) => fail(errorView(problem)));
  if (error) return <ErrorBox error={error} />;
  if (whole.omitted && whole.message === null)
    return (
      <Button small onClick={() => void fetchWhole()}>
        Show its {message.size.toLocaleString("en")} characters
      </Button>
    );
  if (whole.message === null) return <p class="muted">{message.size.toLocaleString("en")} characters, which were not read.</p>;
  return <JsonView value={whole.message} label={`Message ${message.n}`} depth={3} />;
}
