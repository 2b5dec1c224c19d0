// JSON that can be opened and closed. What is closed is not there at all, long arrays come in portions, and long texts are
// cut until somebody wants them: a value of any size costs what is seen of it. Everything is a text node.

import { useState } from "preact/hooks";
import type { Json } from "../api.ts";
import { CopyButton } from "./Button.tsx";
import { Icon } from "./Icon.tsx";
import { escapedOdd } from "./odd.ts";

const PORTION = 100;
const LONG = 400;
/** So many entries are open from the start. */
const OPEN = 12;

interface JsonViewProps {
  value: Json;
  /** What it is, for who cannot see it. */
  label: string;
  /** How deep it is open to begin with. */
  depth?: number;
  /** JSON pointers of what is to be marked, with why. */
  marks?: Map<string, string>;
  copy?: boolean;
}

export function JsonView({ value, label, depth = 2, marks, copy = true }: JsonViewProps) {
  return (
    <div class="json" role="group" aria-label={label}>
      {copy && <CopyButton text={() => JSON.stringify(value, null, 2)} label={`Copy: ${label}`} />}
      <Node value={value} pointer="" depth={depth} marks={marks} />
    </div>
  );
}

interface NodeProps {
  value: Json;
  pointer: string;
  depth: number;
  marks: Map<string, string> | undefined;
  name?: string | number;
}

function Node({ value, name, ...rest }: NodeProps) {
  if (value !== null && typeof value === "object") return <Branch value={value} name={name} {...rest} />;
  return (
    <div class="json-line" title={rest.marks?.get(rest.pointer)} data-marked={rest.marks?.has(rest.pointer) || undefined}>
      <Name name={name} />
      <Leaf value={value} />
    </div>
  );
}

function Name({ name }: { name: string | number | undefined }) {
  if (name === undefined) return null;
  return <span class="json-name">{typeof name === "number" ? name : spelled(name)}: </span>;
}

const spelled = (name: string) => (/^[\w$./-]+$/.test(name) ? name : escapedOdd(JSON.stringify(name)));

function Leaf({ value }: { value: null | boolean | number | string }) {
  const [all, showAll] = useState(false);
  if (typeof value !== "string") return <span class="json-value" data-type={value === null ? "null" : typeof value}>{String(value)}</span>;
  const long = value.length > LONG && !all;
  const shown = long ? value.slice(0, LONG) : value;
  return (
    <span class="json-value" data-type="string">
      {escapedOdd(JSON.stringify(shown))}
      {long && (
        <button type="button" class="json-more" onClick={() => showAll(true)}>
          {value.length - LONG} more characters
        </button>
      )}
    </span>
  );
}

interface BranchProps extends Omit<NodeProps, "value" | "name"> {
  value: Json[] | { [name: string]: Json };
  name: string | number | undefined;
}

const escaped = (name: string | number) => String(name).replaceAll("~", "~0").replaceAll("/", "~1");

function Branch({ value, name, pointer, depth, marks }: BranchProps) {
  const list = Array.isArray(value);
  const names = list ? null : Object.keys(value);
  const count = list ? value.length : names!.length;
  const marked = marks && [...marks.keys()].some((each) => each.startsWith(`${pointer}/`));
  const [open, setOpen] = useState(marked || (depth > 0 && (count <= OPEN || pointer === "")));
  const [portion, setPortion] = useState(PORTION);
  const [before, after] = list ? "[]" : "{}";
  if (!count)
    return (
      <div class="json-line">
        <Name name={name} />
        <span class="json-mark">{list ? "[]" : "{}"}</span>
      </div>
    );
  const entries = Array.from({ length: Math.min(count, portion) }, (_, at) => (list ? at : names![at]!));
  return (
    <div class="json-branch" data-marked={marks?.has(pointer) || undefined} title={marks?.get(pointer)}>
      <button type="button" class="json-turn" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name="right" />
        <Name name={name} />
        <span class="json-mark">{before}</span>
        {!open && <span class="json-count">{summary(value, count)}</span>}
        {!open && <span class="json-mark">{after}</span>}
      </button>
      {open && (
        <div class="json-inner">
          {entries.map((each) => (
            <Node
              key={each}
              name={each}
              value={list ? value[each as number]! : value[each]!}
              pointer={`${pointer}/${escaped(each)}`}
              depth={depth - 1}
              marks={marks}
            />
          ))}
          {count > portion && (
            <button type="button" class="json-more" onClick={() => setPortion(portion + PORTION * 5)}>
              {count - portion} more
            </button>
          )}
        </div>
      )}
      {open && <span class="json-mark json-end">{after}</span>}
    </div>
  );
}

function summary(value: Json[] | { [name: string]: Json }, count: number): string {
  if (Array.isArray(value)) return count === 1 ? "1 item" : `${count} items`;
  const names = Object.keys(value).slice(0, 4).map(spelled).join(", ");
  return count > 4 ? `${names}, …` : names;
}
