// A form made from a schema. The value is the only truth: each field shows a part of it and gives a new one; members that
// no field knows stay in it. `undefined` is a member that is not there.

import { createContext, type ComponentChildren } from "preact";
import { useContext, useId, useMemo, useState } from "preact/hooks";
import type { Json } from "../api.ts";
import { Badge } from "../components/Badge.tsx";
import { Button, IconButton } from "../components/Button.tsx";
import { plain } from "../components/odd.ts";
import { Prose } from "../components/Prose.tsx";
import { check, escaped, type Problem } from "./check.ts";
import { ArrayField, ChoiceField, ObjectField } from "./Composed.tsx";
import { BooleanField, ConstantField, EnumField, FileField, JsonField, NumberField, SeveralField, TextField } from "./Fields.tsx";
import { initial, plan, type Plan } from "./plan.ts";
import type { Schema } from "./schema.ts";

/** Gives completions of a member by its name, as prompts have them. */
export type Complete = (name: string, typed: string) => Promise<string[]>;

export interface Surroundings {
  root: Schema;
  problems: Map<string, string[]>;
  complete: Complete | null;
}

export const Around = createContext<Surroundings>({ root: true, problems: new Map(), complete: null });

export interface FieldProps {
  plan: Plan;
  schema: Schema;
  /** A JSON pointer. */
  pointer: string;
  name: string;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  /** Whether it can be absent: a member of an object can, an item of an array cannot. */
  absent: boolean;
  required: boolean;
  /** The id of the control that the label is for. */
  id: string;
  /** Ids of what says more about the control. */
  told: string | undefined;
  wrong: boolean;
}

interface FormProps {
  schema: Schema;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  complete?: Complete | null;
}

/** What does not fit, by JSON pointer. */
export function byPointer(problems: Problem[]): Map<string, string[]> {
  const out = new Map<string, string[]>();
  for (const { where, what } of problems) out.set(where, [...(out.get(where) ?? []), what]);
  return out;
}

export function Form({ schema, value, change, complete = null }: FormProps) {
  const problems = useMemo(() => byPointer(check(schema, value ?? {}, schema)), [schema, value]);
  const made = plan(schema, schema, value);
  const around = useMemo(() => ({ root: schema, problems, complete }), [schema, problems, complete]);
  return (
    <Around.Provider value={around}>
      <div class="form">
        {made.kind === "object" ? (
          <ObjectField {...{ plan: made, schema, value, change }} {...TOP} />
        ) : (
          <Field {...{ schema, value, change }} pointer="" name="" absent={false} required label="Value" />
        )}
      </div>
    </Around.Provider>
  );
}

const TOP = { pointer: "", name: "", absent: false, required: true, id: "", told: undefined, wrong: false };

interface LabelledProps {
  schema: Schema;
  pointer: string;
  name: string;
  value: Json | undefined;
  change: (value: Json | undefined) => void;
  absent: boolean;
  required: boolean;
  label?: string;
  /** Further things beside the label, such as how to move an item. */
  beside?: ComponentChildren;
}

const COMPOSED = new Set(["object", "array", "choice"]);
const GROUPS = new Set([...COMPOSED, "several", "json", "file"]);

/** A field with its label, description and problems. */
export function Field({ schema, label, beside, ...at }: LabelledProps) {
  const { root, problems } = useContext(Around);
  const id = useId();
  const made = plan(schema, root, at.value);
  const shown = label ?? (made.title || at.name);
  // That a member is required stands beside its name; what is not there yet is not called wrong.
  const wrong = at.value === undefined ? [] : (problems.get(at.pointer) ?? []);
  const hint = hintOf(made);
  const told = [made.description && `${id}-d`, wrong.length && `${id}-p`].filter(Boolean).join(" ") || undefined;
  const [folded, fold] = useState(false);
  const composed = COMPOSED.has(made.kind);
  const props: FieldProps = { ...at, plan: made, schema, id, told, wrong: wrong.length > 0 };
  const head = (
    <>
      <span>{plain(shown)}</span>{" "}
      {made.title && at.name && made.title !== at.name && !label && <code class="muted">{plain(at.name)}</code>}{" "}
      {at.required && at.absent && (
        <span class="required" data-missing={at.value === undefined || undefined}>
          required
        </span>
      )}{" "}
      {made.deprecated && <Badge tone="warning">deprecated</Badge>}{" "}
      {made.readOnly && <Badge>read only</Badge>}{" "}
      {hint && <span class="muted">{hint}</span>}
    </>
  );
  const rest = (
    <>
      {made.description && (
        <div class="field-hint" id={`${id}-d`}>
          <Prose text={made.description} />
        </div>
      )}
      {composed ? <Group {...props} folded={folded} /> : <Control {...props} />}
      {wrong.length > 0 && (
        <p class="field-error" id={`${id}-p`}>
          {wrong.join("; ")}
        </p>
      )}
    </>
  );
  if (!GROUPS.has(made.kind))
    return (
      <div class="field" data-kind={made.kind}>
        <div class="field-head">
          <label class="field-label" for={id}>
            {head}
          </label>
          {beside}
        </div>
        {rest}
      </div>
    );
  return (
    <div class="field" role="group" aria-labelledby={`${id}-l`} aria-describedby={told}>
      <div class="field-head">
        {composed && at.value !== undefined && (
          <IconButton
            icon={folded ? "right" : "fold"}
            label={folded ? `Unfold ${shown}` : `Fold ${shown}`}
            onClick={() => fold(!folded)}
          />
        )}
        <div class="field-label" id={`${id}-l`}>
          {head}
        </div>
        {beside}
        {composed && at.absent && !at.required && at.value !== undefined && (
          <Button small kind="quiet" onClick={() => at.change(undefined)}>
            Leave out
          </Button>
        )}
      </div>
      {rest}
    </div>
  );
}

function hintOf(made: Plan): string {
  return "hint" in made ? made.hint : "";
}

function Control(props: FieldProps) {
  switch (props.plan.kind) {
    case "text":
      return <TextField {...props} />;
    case "file":
      return <FileField {...props} />;
    case "number":
      return <NumberField {...props} />;
    case "boolean":
      return <BooleanField {...props} />;
    case "null":
    case "constant":
      return <ConstantField {...props} />;
    case "enum":
      return <EnumField {...props} />;
    case "several":
      return <SeveralField {...props} />;
    case "json":
      return <JsonField {...props} />;
    default:
      return null;
  }
}

/** What has parts is there once it is wanted: a schema may refer to itself. */
function Group(props: FieldProps & { folded: boolean }) {
  const { root } = useContext(Around);
  const { value, plan: made } = props;
  if (value === undefined)
    return (
      <div>
        <Button small icon="plus" onClick={() => props.change(initial(props.schema, root) ?? (made.kind === "array" ? [] : {}))}>
          {props.required ? "Fill in" : "Add"}
        </Button>
      </div>
    );
  if (props.folded) return <p class="muted mono cut">{JSON.stringify(value).slice(0, 120)}</p>;
  return (
    <div class="group">
      <Parts {...props} />
    </div>
  );
}

function Parts(props: FieldProps) {
  if (props.plan.kind === "object") return <ObjectField {...props} />;
  if (props.plan.kind === "array") return <ArrayField {...props} />;
  return <ChoiceField {...props} />;
}

export const pointerTo = (pointer: string, name: string | number) => `${pointer}/${escaped(name)}`;
