// A value as a form and as JSON: both show the same, and going from one to the other loses nothing.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Json } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { check } from "./check.ts";
import { Form, type Complete } from "./Form.tsx";
import { JsonEditor } from "./JsonEditor.tsx";
import type { Schema } from "./schema.ts";

interface EditorProps {
  schema: Schema;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  /** What is edited, for who cannot see it. */
  label: string;
  complete?: Complete | null;
  /** Called whether the text, where JSON is typed, can be read. */
  readable?: (readable: boolean) => void;
}

export function Editor({ schema, value, change, label, complete, readable }: EditorProps) {
  const [asText, setAsText] = useState(false);
  const [problem, setProblem] = useState("");
  const said = useRef(readable);
  said.current = readable;
  useEffect(() => said.current?.(!problem), [problem]);
  return (
    <div class="editor">
      <div class="editor-bar" role="group" aria-label={`${label}: as a form or as JSON`}>
        <Button
          small
          kind="quiet"
          pressed={!asText}
          disabled={asText && problem !== ""}
          title={problem ? "The form can show it once the JSON can be read" : undefined}
          onClick={() => setAsText(false)}
        >
          Form
        </Button>
        <Button small kind="quiet" pressed={asText} onClick={() => setAsText(true)}>
          JSON
        </Button>
        <Fitting schema={schema} value={value} problem={problem} />
      </div>
      {asText ? (
        <JsonEditor value={value} change={change} label={label} problem={setProblem} />
      ) : (
        <Form schema={schema} value={value} change={change} complete={complete ?? null} />
      )}
    </div>
  );
}

/** Whether the value fits; it can be sent all the same. */
function Fitting({ schema, value, problem }: { schema: Schema; value: Json | undefined; problem: string }) {
  if (problem) return <span class="field-error">{problem}</span>;
  const wrong = check(schema, value ?? {}, schema);
  if (!wrong.length) return <span class="fits">fits the schema</span>;
  const first = wrong[0]!;
  const said = `${first.where || "the value"} ${first.what}`;
  return (
    <span class="muted" title={wrong.map((each) => `${each.where || "the value"} ${each.what}`).join("\n")}>
      {wrong.length === 1 ? said : `${said}, and ${wrong.length - 1} more`}
    </span>
  );
}
