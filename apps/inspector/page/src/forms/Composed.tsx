// The controls of values that have parts: objects, arrays, and choices among schemas.

import { useContext, useId, useRef, useState } from "preact/hooks";
import type { Json, JsonObject } from "../api.ts";
import { Button, IconButton } from "../components/Button.tsx";
import { Around, Field, pointerTo, type FieldProps } from "./Form.tsx";
import { branchFor, carried, fresh, initial, moved, plan as planOf, withMember } from "./plan.ts";
import { isObject } from "./schema.ts";

export function ObjectField({ plan, value, change, pointer }: FieldProps) {
  if (plan.kind !== "object") return null;
  const object: JsonObject = isObject(value) ? value : {};
  const known = new Set(plan.members.map((each) => each.name));
  const others = Object.keys(object).filter((name) => !known.has(name));
  const set = (name: string) => (next: Json | undefined) => change(withMember(object, name, next));
  return (
    <div class="members">
      {plan.members.map((each) => (
        <Field
          key={each.name}
          name={each.name}
          schema={each.schema}
          pointer={pointerTo(pointer, each.name)}
          value={Object.hasOwn(object, each.name) ? object[each.name] : undefined}
          change={set(each.name)}
          absent
          required={each.required}
        />
      ))}
      {others.map((name) => (
        <Field
          key={`other ${name}`}
          name={name}
          label={name}
          schema={plan.rest(name)}
          pointer={pointerTo(pointer, name)}
          value={object[name]}
          change={set(name)}
          absent={false}
          required={false}
          beside={<IconButton icon="trash" label={`Remove ${name}`} onClick={() => set(name)(undefined)} />}
        />
      ))}
      {plan.open && <NewMember taken={object} add={(name, root) => set(name)(fresh(plan.rest(name), root))} />}
      {!plan.members.length && !plan.open && !others.length && <p class="muted">It takes nothing.</p>}
    </div>
  );
}

function NewMember({ taken, add }: { taken: JsonObject; add: (name: string, root: FieldProps["schema"]) => void }) {
  const { root } = useContext(Around);
  const [name, setName] = useState("");
  const id = useId();
  const there = Object.hasOwn(taken, name);
  const submit = () => {
    if (!name || there) return;
    add(name, root);
    setName("");
  };
  return (
    <div class="new-member">
      <label class="seen-by-readers" for={id}>
        Name of a further member
      </label>
      <input
        class="input mono"
        id={id}
        value={name}
        placeholder="further member"
        autocomplete="off"
        onInput={(event) => setName(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          submit();
        }}
      />
      <Button small icon="plus" disabled={!name || there} onClick={submit}>
        Add
      </Button>
    </div>
  );
}

export function ArrayField({ plan, value, change, pointer }: FieldProps) {
  const { root } = useContext(Around);
  // Fields keep what is typed: an item that moves takes its field along by a number of its own.
  const keys = useRef<number[]>([]);
  const next = useRef(0);
  if (plan.kind !== "array") return null;
  const items = Array.isArray(value) ? value : [];
  while (keys.current.length < items.length) keys.current.push(next.current++);
  keys.current.length = items.length;
  const remove = (at: number) => {
    keys.current.splice(at, 1);
    change(items.filter((_, index) => index !== at));
  };
  const move = (at: number, by: -1 | 1) => {
    keys.current = moved(keys.current, at, by);
    change(moved(items, at, by));
  };
  return (
    <div class="items">
      {items.map((each, at) => (
        <Field
          key={keys.current[at]}
          name={String(at)}
          label={`${at + 1}`}
          schema={plan.item(at)}
          pointer={pointerTo(pointer, at)}
          value={each}
          change={(one) => change(items.map((old, index) => (index === at ? (one ?? null) : old)))}
          absent={false}
          required={false}
          beside={
            <span class="item-bar">
              <IconButton icon="up" label={`Move item ${at + 1} up`} disabled={at === 0} onClick={() => move(at, -1)} />
              <IconButton
                icon="down"
                label={`Move item ${at + 1} down`}
                disabled={at === items.length - 1}
                onClick={() => move(at, 1)}
              />
              <IconButton icon="trash" label={`Remove item ${at + 1}`} onClick={() => remove(at)} />
            </span>
          }
        />
      ))}
      {(plan.more || items.length < plan.fixed) && (
        <div>
          <Button small icon="plus" onClick={() => change([...items, fresh(plan.item(items.length), root)])}>
            Add an item
          </Button>
        </div>
      )}
    </div>
  );
}

export function ChoiceField({ plan, schema, value, change, pointer, ...at }: FieldProps) {
  const { root } = useContext(Around);
  const [chosen, choose] = useState<number | null>(null);
  // Who looks at another branch and comes back finds what was there.
  const before = useRef(new Map<number, Json | undefined>());
  if (plan.kind !== "choice") return null;
  const { branches } = plan;
  const index = Math.min(chosen ?? branchFor(branches, root, value), branches.length - 1);
  const branch = branches[index];
  if (!branch) return <p class="muted">There is nothing to choose from.</p>;
  const turn = (to: number) => {
    before.current.set(index, value);
    choose(to);
    const target = branches[to]!;
    if (before.current.has(to)) return change(before.current.get(to));
    const made = planOf(target.schema, root);
    change(carried(value, initial(target.schema, root) ?? fresh(target.schema, root), made));
  };
  return (
    <div class="choice">
      <select
        class="select narrow"
        aria-label={`Kind of ${at.name || "the value"}`}
        value={String(index)}
        onChange={(event) => turn(Number(event.currentTarget.value))}
      >
        {branches.map((each, place) => (
          <option key={place} value={String(place)}>
            {each.title}
          </option>
        ))}
      </select>
      <Branch {...{ value, change, pointer }} schema={branch.schema} name={at.name} key={index} />
    </div>
  );
}

function Branch({ schema, value, change, pointer, name }: Pick<FieldProps, "schema" | "value" | "change" | "pointer" | "name">) {
  const { root } = useContext(Around);
  const made = planOf(schema, root, value);
  if (made.kind === "object")
    return (
      <ObjectField
        {...{ schema, value, change, pointer, name }}
        plan={made}
        absent={false}
        required
        id=""
        told={undefined}
        wrong={false}
      />
    );
  if (made.kind === "null") return null;
  return <Field {...{ schema, value, change, pointer, name }} label="Value" absent={false} required />;
}
