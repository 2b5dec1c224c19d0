// The person's part of a request, each edited to the result that it takes.

import { useId } from "preact/hooks";
import type { Json, JsonObject } from "../api.ts";
import { Message } from "../calls/Content.tsx";
import { Badge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { JsonView } from "../components/JsonView.tsx";
import { Prose } from "../components/Prose.tsx";
import { Editor } from "../forms/Editor.tsx";
import { initial } from "../forms/plan.ts";
import { asSchema, isObject } from "../forms/schema.ts";

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");
const list = (value: Json | undefined) => (Array.isArray(value) ? value : []);

/** What a model would answer, to be edited by hand. */
export const RESULT: JsonObject = {
  type: "object",
  required: ["role", "content", "model"],
  properties: {
    content: {
      title: "Answer",
      anyOf: [
        {
          title: "text",
          type: "object",
          required: ["type", "text"],
          properties: { type: { const: "text" }, text: { type: "string", contentMediaType: "text/markdown" } },
        },
        {
          title: "image",
          type: "object",
          required: ["type", "data", "mimeType"],
          properties: {
            type: { const: "image" },
            data: { type: "string", contentEncoding: "base64", contentMediaType: "image/*" },
            mimeType: { type: "string", default: "image/png" },
          },
        },
        {
          title: "audio",
          type: "object",
          required: ["type", "data", "mimeType"],
          properties: {
            type: { const: "audio" },
            data: { type: "string", contentEncoding: "base64", contentMediaType: "audio/*" },
            mimeType: { type: "string", default: "audio/wav" },
          },
        },
        {
          title: "use of a tool",
          type: "object",
          required: ["type", "id", "name", "input"],
          properties: {
            type: { const: "tool_use" },
            id: { type: "string", default: "use-1" },
            name: { type: "string" },
            input: { type: "object" },
          },
        },
        { title: "several", type: "array", items: { type: "object" } },
      ],
    },
    role: { enum: ["assistant", "user"], default: "assistant" },
    model: { type: "string", default: "a person at the Inspector" },
    stopReason: { type: "string", examples: ["endTurn", "stopSequence", "maxTokens", "toolUse"], default: "endTurn" },
  },
};

export const modelAnswer = (): JsonObject => ({
  role: "assistant",
  content: { type: "text", text: "" },
  model: "a person at the Inspector",
  stopReason: "endTurn",
});

interface AnswerProps {
  params: JsonObject;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  readable?: (readable: boolean) => void;
}

/** A request to a model: what it would get, and the answer in its place. */
export function Sampling({ params, value, change, readable }: AnswerProps) {
  const known = ["messages", "systemPrompt", "_meta"];
  const rest = Object.fromEntries(Object.entries(params).filter(([name]) => !known.includes(name)));
  return (
    <div class="stack">
      {text(params["systemPrompt"]) && (
        <div class="note-box">
          <h3>System prompt</h3>
          <Prose text={text(params["systemPrompt"])} />
        </div>
      )}
      {list(params["messages"]).map((each, at) => (
        <Message key={at} message={each} />
      ))}
      {Object.keys(rest).length > 0 && <JsonView value={rest} label="What else the server asks for" depth={1} />}
      <h3>The model's answer</h3>
      <Editor schema={RESULT} value={value} change={change} label="The model's answer" {...(readable && { readable })} />
    </div>
  );
}

/** Folders that the server may look at. */
export function Roots({ value, change }: Pick<AnswerProps, "value" | "change">) {
  const roots = list(value).map((each) => (isObject(each) ? each : {}));
  const id = useId();
  const set = (at: number, name: string, typed: string) =>
    change(roots.map((each, index) => (index === at ? { ...each, [name]: typed } : each)));
  return (
    <div class="stack">
      {roots.map((each, at) => (
        <div key={at} class="line-of-field">
          <label class="seen-by-readers" for={`${id}-${at}`}>
            Address of root {at + 1}
          </label>
          <input
            id={`${id}-${at}`}
            class="input mono"
            placeholder="file:///home/me/project"
            value={text(each["uri"])}
            onInput={(event) => set(at, "uri", event.currentTarget.value)}
          />
          <label class="seen-by-readers" for={`${id}-${at}-n`}>
            Name of root {at + 1}
          </label>
          <input
            id={`${id}-${at}-n`}
            class="input short"
            placeholder="name"
            value={text(each["name"])}
            onInput={(event) => set(at, "name", event.currentTarget.value)}
          />
          <IconButton
            icon="trash"
            label={`Remove root ${at + 1}`}
            onClick={() => change(roots.filter((_, index) => index !== at))}
          />
        </div>
      ))}
      {!roots.length && <p class="muted">No roots: the server is told that there are none.</p>}
      <div>
        <Button small icon="plus" onClick={() => change([...roots, { uri: "file:///" }])}>
          Add a root
        </Button>
      </div>
    </div>
  );
}

interface InputProps {
  name: string;
  request: JsonObject;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
}

/** What a round asks for under one name: the result that is typed here is what the server gets for it. */
export function RoundInput({ name, request, value, change }: InputProps) {
  const method = text(request["method"]);
  const params = isObject(request["params"]) ? request["params"] : {};
  return (
    <article class="card" aria-label={`Asked for: ${name}`}>
      <header class="card-head">
        <strong class="mono">{name}</strong>
        <Badge>{method}</Badge>
      </header>
      <div class="card-body">
        <InputOf {...{ name, method, params, value, change }} />
      </div>
    </article>
  );
}

/** What a person most probably gives for a request of a round. */
export function firstResult(request: Json, roots: string[]): Json {
  const method = isObject(request) ? text(request["method"]) : "";
  const params = isObject(request) && isObject(request["params"]) ? request["params"] : {};
  if (method === "elicitation/create")
    return { action: "accept", content: initial(asSchema(params["requestedSchema"])) ?? {} };
  if (method === "sampling/createMessage") return modelAnswer();
  if (method === "roots/list") return { roots: roots.map((uri) => ({ uri })) };
  return {};
}

function InputOf({ name, method, params, value, change }: Omit<InputProps, "request"> & { method: string; params: JsonObject }) {
  const result = isObject(value) ? value : {};
  if (method === "elicitation/create") return <Elicited {...{ params, result, change }} />;
  if (method === "sampling/createMessage") return <Sampling {...{ params, value, change }} />;
  if (method === "roots/list")
    return <Roots value={result["roots"]} change={(roots) => change({ ...result, roots: roots ?? [] })} />;
  return (
    <>
      <JsonView value={params} label={`Parameters of ${name}`} />
      <Editor schema={true} value={value} change={change} label={`Result for ${name}`} />
    </>
  );
}

function Elicited({ params, result, change }: { params: JsonObject; result: JsonObject; change: InputProps["change"] }) {
  const id = useId();
  const schema = params["requestedSchema"];
  const action = text(result["action"]) || "accept";
  return (
    <>
      <Prose text={text(params["message"])} />
      {text(params["url"]) && <p class="mono breaks">{text(params["url"])}</p>}
      <div class="line">
        <label for={id}>Action</label>
        <select
          id={id}
          class="select narrow"
          value={action}
          onChange={(event) => {
            const chosen = event.currentTarget.value;
            const content: JsonObject = schema === undefined ? {} : { content: result["content"] ?? initial(asSchema(schema)) ?? {} };
            change(chosen === "accept" ? { action: chosen, ...content } : { action: chosen });
          }}
        >
          <option>accept</option>
          <option>decline</option>
          <option>cancel</option>
        </select>
      </div>
      {action === "accept" && schema !== undefined && (
        <Editor
          schema={asSchema(schema)}
          value={result["content"]}
          change={(content) => change({ ...result, action, content: content ?? {} })}
          label="Content"
        />
      )}
    </>
  );
}
