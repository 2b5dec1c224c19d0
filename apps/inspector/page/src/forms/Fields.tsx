// The controls of values that have no parts.

import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import type { Json } from "../api.ts";
import { Button } from "../components/Button.tsx";
import { Around, type FieldProps } from "./Form.tsx";
import { numberOf, spelled, type Option } from "./plan.ts";
import { same } from "./schema.ts";

const aria = ({ id, told, wrong, required, absent }: FieldProps) => ({
  id,
  "aria-describedby": told,
  "aria-invalid": wrong || undefined,
  "aria-required": (required && absent) || undefined,
});

// Said to be one type: the checker knows no control whose type is chosen.
const TYPES: Record<string, string> = { email: "email", uri: "url", password: "password", date: "date" };

const PAUSE = 150;

/** A button that sends a text that has nothing in it, where an empty field means that there is none. */
function EmptyText({ value, change, absent }: FieldProps) {
  if (!absent || (value !== undefined && value !== "")) return null;
  return (
    <span class="empty-text" data-on={value === "" || undefined}>
      <Button
        small
        kind="quiet"
        pressed={value === ""}
        title="Send a text without characters, instead of none"
        onClick={() => change(value === "" ? undefined : "")}
      >
        empty text
      </Button>
    </span>
  );
}

export function TextField(props: FieldProps) {
  const { plan, value, change, absent, name } = props;
  const { complete } = useContext(Around);
  const [offered, offer] = useState<string[]>([]);
  const listId = useId();
  const shown = typeof value === "string" ? value : value === undefined ? "" : spelled(value);
  const set = (typed: string) => change(typed === "" && absent ? undefined : typed);
  const asked = useRef(0);
  const type = (typed: string) => {
    set(typed);
    void suggest(typed);
  };
  // Asked for once the person pauses; what an older question gives is not shown.
  const suggest = async (typed: string) => {
    const mine = ++asked.current;
    await new Promise((resolve) => window.setTimeout(resolve, PAUSE));
    if (!complete || mine !== asked.current) return;
    const some = await complete(name, typed);
    if (mine === asked.current) offer(some);
  };
  if (plan.kind !== "text") return null;
  if (plan.long || shown.includes("\n"))
    return (
      <div class="with-empty">
        <textarea
          class="textarea"
          rows={Math.min(Math.max(shown.split("\n").length, 3), 16)}
          value={shown}
          onInput={(event) => set(event.currentTarget.value)}
          {...aria(props)}
        />
        <EmptyText {...props} />
      </div>
    );
  return (
    <div class="line-of-field">
      <span class="with-empty">
        <input
          class="input"
          type={(TYPES[plan.format] ?? "text") as "text"}
          value={shown}
          placeholder={plan.examples.length ? spelled(plan.examples[0]!) : placeholder(plan.format)}
          autocomplete="off"
          spellcheck={!plan.format}
          list={complete || plan.examples.length ? listId : undefined}
          onInput={(event) => type(event.currentTarget.value)}
          onFocus={() => void suggest(shown)}
          onPaste={(event) => pasted(event, set)}
          {...aria(props)}
        />
        <EmptyText {...props} />
      </span>
      {(complete || plan.examples.length > 0) && (
        <datalist id={listId}>
          {(complete ? offered : plan.examples.map(spelled)).map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
      )}
      {plan.format === "date-time" && (
        <Button small onClick={() => set(new Date().toISOString())}>
          now
        </Button>
      )}
      {plan.format === "uuid" && (
        <Button small onClick={() => set(crypto.randomUUID())}>
          new
        </Button>
      )}
    </div>
  );
}

/** An input would take the breaks out of lines that are pasted: the field becomes a longer one instead. */
function pasted(event: ClipboardEvent, set: (text: string) => void): void {
  const text = event.clipboardData?.getData("text") ?? "";
  const input = event.currentTarget as HTMLInputElement;
  if (!text.includes("\n") || input.type !== "text") return;
  event.preventDefault();
  const [from, to] = [input.selectionStart ?? 0, input.selectionEnd ?? 0];
  set(input.value.slice(0, from) + text + input.value.slice(to));
}

const placeholder = (format: string) =>
  ({ "date-time": "2026-11-23T18:00:00Z", time: "18:00:00Z", uri: "https://", duration: "PT15M" })[format] ?? "";

export function NumberField(props: FieldProps) {
  const { plan, value, change, absent } = props;
  const [typed, setTyped] = useState<string | null>(null);
  // What is typed is shown as long as it means the value: "1." and "1e" are on the way to a number.
  const shown = typed !== null && numberOf(typed) === (value ?? null) ? typed : value === undefined ? (typed ?? "") : spelled(value);
  const set = (text: string) => {
    setTyped(text);
    change(numberOf(text) ?? (absent ? undefined : null));
  };
  const step = (by: number) => set(String((typeof value === "number" ? value : 0) + by));
  const bad = typed !== null && typed.trim() !== "" && numberOf(typed) === null && value === undefined;
  const far = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return (
    <>
      <div class="line-of-field">
        <input
          class="input mono"
          type="text"
          inputMode={plan.kind === "number" && plan.integer ? "numeric" : "decimal"}
          autocomplete="off"
          value={shown}
          onInput={(event) => set(event.currentTarget.value)}
          onKeyDown={(event) => {
            const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
            if (!by) return;
            event.preventDefault();
            step(by);
          }}
          {...aria(props)}
        />
      </div>
      {bad && <p class="field-error">“{typed}” is no number: the member is left out</p>}
      {far && <p class="field-error">too large to be kept exactly; it is sent as {String(value)}</p>}
    </>
  );
}

export function BooleanField(props: FieldProps) {
  const { value, change, absent, required } = props;
  if (absent && !required)
    return (
      <select
        class="select narrow"
        value={value === undefined ? "" : String(value)}
        onChange={(event) => change({ true: true, false: false }[event.currentTarget.value])}
        {...aria(props)}
      >
        <option value="">left out</option>
        <option value="true">true</option>
        <option value="false">false</option>
      </select>
    );
  return (
    <div class="check">
      <input
        type="checkbox"
        checked={value === true}
        onChange={(event) => change(event.currentTarget.checked)}
        {...aria(props)}
      />
      <span class="mono muted">{String(value === true)}</span>
    </div>
  );
}

export function ConstantField(props: FieldProps) {
  const { plan, value, change, absent, required } = props;
  const fixed = plan.kind === "constant" ? plan.value : null;
  if (required || !absent)
    return (
      <div class="line-of-field">
        <output id={props.id} class="mono">
          {spelled(fixed)}
        </output>
        {!same(value, fixed) && (
          <Button small onClick={() => change(fixed)}>
            Set
          </Button>
        )}
      </div>
    );
  return (
    <div class="check">
      <input
        type="checkbox"
        checked={value !== undefined}
        onChange={(event) => change(event.currentTarget.checked ? fixed : undefined)}
        {...aria(props)}
      />
      <span class="mono">{spelled(fixed)}</span>
    </div>
  );
}

export function EnumField(props: FieldProps) {
  const { plan, value, change, absent, required } = props;
  if (plan.kind !== "enum") return null;
  const at = plan.options.findIndex((each) => same(each.value, value));
  return (
    <select
      class="select"
      value={at >= 0 ? String(at) : ""}
      onChange={(event) => {
        const chosen = plan.options[Number(event.currentTarget.value || -1)];
        change(chosen ? chosen.value : absent ? undefined : null);
      }}
      {...aria(props)}
    >
      {(at < 0 || (absent && !required)) && (
        <option value="">{value === undefined || value === null || at >= 0 ? (required ? "choose" : "left out") : spelled(value)}</option>
      )}
      {plan.options.map((each, index) => (
        <option key={index} value={String(index)}>
          {labelOf(each)}
        </option>
      ))}
    </select>
  );
}

const labelOf = ({ title, value }: Option) => (title === spelled(value) ? title : `${title} (${spelled(value)})`);

export function SeveralField({ plan, value, change }: FieldProps) {
  if (plan.kind !== "several") return null;
  const chosen = Array.isArray(value) ? value : [];
  const turn = (option: Json, on: boolean) =>
    change(on ? [...chosen, option] : chosen.filter((each) => !same(each, option)));
  return (
    <div class="several">
      {plan.options.map((each, index) => (
        <label key={index} class="check">
          <input
            type="checkbox"
            checked={chosen.some((one) => same(one, each.value))}
            onChange={(event) => turn(each.value, event.currentTarget.checked)}
          />
          {labelOf(each)}
        </label>
      ))}
      {!plan.options.length && <span class="muted">There is nothing to choose from.</span>}
    </div>
  );
}

const MOST_BYTES = 20_000_000;

/** The bytes of a file as base64. */
export async function base64(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  return btoa(parts.join(""));
}

export function FileField(props: FieldProps) {
  const { plan, value, change, absent } = props;
  const [name, setName] = useState("");
  const [problem, setProblem] = useState("");
  if (plan.kind !== "file") return null;
  const take = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > MOST_BYTES) return setProblem(`${file.name} has ${file.size} bytes; ${MOST_BYTES} fit into a message`);
    setProblem("");
    setName(`${file.name}, ${file.size} bytes`);
    const content = await base64(file);
    change(plan.dataUrl ? `data:${file.type || "application/octet-stream"};base64,${content}` : content);
  };
  const typed = typeof value === "string" ? value : "";
  return (
    <div class="stack">
      <div class="line">
        <input
          type="file"
          id={props.id}
          aria-label={`File for ${props.name || "the value"}`}
          accept={plan.media || undefined}
          onChange={(event) => void take(event.currentTarget.files?.[0])}
        />
        {value !== undefined && absent && (
          <Button small kind="quiet" onClick={() => change(undefined)}>
            Leave out
          </Button>
        )}
        {name && value !== undefined && <span class="muted">{name}</span>}
      </div>
      <textarea
        class="textarea"
        rows={2}
        aria-label={`${props.name || "The value"} as base64`}
        placeholder={plan.dataUrl ? "data:…;base64,…" : "or base64 here"}
        value={typed.length > 5000 ? `${typed.slice(0, 5000)}…` : typed}
        readOnly={typed.length > 5000}
        onInput={(event) => change(event.currentTarget.value || (absent ? undefined : ""))}
      />
      {problem && <p class="field-error">{problem}</p>}
    </div>
  );
}

/** A value as JSON. What is typed is kept until it can be read. */
export function JsonField(props: FieldProps) {
  const { plan, value, change, absent, pointer } = props;
  const written = value === undefined ? "" : JSON.stringify(value, null, 2);
  const [typed, setTyped] = useState(written);
  const [problem, setProblem] = useState("");
  const given = useRef(value);
  useEffect(() => {
    if (same(given.current, value)) return;
    given.current = value;
    setTyped(written);
    setProblem("");
  }, [value]);
  const set = (text: string) => {
    setTyped(text);
    if (!text.trim()) {
      given.current = absent ? undefined : null;
      setProblem("");
      return change(given.current);
    }
    try {
      given.current = JSON.parse(text) as Json;
    } catch (wrong) {
      return setProblem(wrong instanceof Error ? wrong.message : String(wrong));
    }
    setProblem("");
    change(given.current);
  };
  return (
    <>
      <textarea
        class="textarea"
        rows={Math.min(Math.max(typed.split("\n").length, 2), 14)}
        value={typed}
        spellcheck={false}
        placeholder={absent ? "left out; JSON, such as 3, \"text\" or {}" : "JSON, such as 3, \"text\" or {}"}
        aria-label={`${props.name || "Value"} as JSON`}
        onInput={(event) => set(event.currentTarget.value)}
        {...aria(props)}
      />
      {plan.kind === "json" && pointer === "" && <p class="field-hint">{plan.why}</p>}
      {problem && <p class="field-error">{problem}</p>}
    </>
  );
}
