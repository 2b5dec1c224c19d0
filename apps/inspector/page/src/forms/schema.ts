// JSON Schema as the forms read it: references followed, `allOf` and what follows from `if` laid into one flat schema.
// Drafts 7 to 2020-12; what is not understood is left to who judges the value in the end.

import type { Json, JsonObject } from "../api.ts";
import { check } from "./check.ts";

export type Schema = boolean | JsonObject;

/** So many references may follow each other. */
const FARTHEST = 60;

export class Unreadable extends Error {}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value as a schema: what is none allows everything. */
export const asSchema = (value: Json | undefined): Schema =>
  typeof value === "boolean" ? value : isObject(value) ? value : true;

function pointed(root: Schema, pointer: string): Json | undefined {
  let at: Json | undefined = root;
  for (const part of pointer.split("/").slice(1)) {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (Array.isArray(at)) at = at[Number(name)];
    else if (isObject(at) && Object.hasOwn(at, name)) at = at[name];
    else return undefined;
  }
  return at;
}

function anchored(at: Json, anchor: string): Json | undefined {
  if (Array.isArray(at)) return at.map((each) => anchored(each, anchor)).find((each) => each !== undefined);
  if (!isObject(at)) return undefined;
  if (at["$anchor"] === anchor || at["$dynamicAnchor"] === anchor || at["$id"] === `#${anchor}`) return at;
  for (const each of Object.values(at)) {
    const found = anchored(each, anchor);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What a reference names. Throws `Unreadable`: nothing is fetched, and nothing is guessed. */
export function referred(root: Schema, reference: string): Schema {
  const own = isObject(root) && typeof root["$id"] === "string" ? root["$id"] : "";
  const local = own && reference.startsWith(`${own}#`) ? reference.slice(own.length) : reference;
  if (!local.startsWith("#")) throw new Unreadable(`it refers to ${reference}, which is not in the schema`);
  const rest = local.slice(1);
  const found = rest === "" || rest.startsWith("/") ? pointed(root, rest) : anchored(root, rest);
  if (found === undefined) throw new Unreadable(`it refers to ${reference}, which is not in the schema`);
  return asSchema(found);
}

const WORDS_OF_OTHERS = new Set(["$ref", "$dynamicRef", "allOf", "if", "then", "else", "dependentSchemas"]);
const BOTH = new Set(["anyOf", "oneOf"]);

/** One schema that says what two say. Throws `Unreadable` where that takes more than a form can show. */
export function merge(a: Schema, b: Schema): Schema {
  if (a === true) return b;
  if (b === true) return a;
  if (a === false || b === false) return false;
  const out: JsonObject = { ...a };
  for (const [name, value] of Object.entries(b)) out[name] = name in a ? joined(name, a[name]!, value) : value;
  return out;
}

function joined(name: string, a: Json, b: Json): Json {
  if (same(a, b)) return a;
  if (["properties", "patternProperties", "$defs", "definitions"].includes(name) && isObject(a) && isObject(b)) {
    const both: JsonObject = { ...a };
    for (const [each, value] of Object.entries(b))
      both[each] = Object.hasOwn(a, each) ? { allOf: [a[each]!, value] } : value;
    return both;
  }
  if (["items", "additionalProperties", "propertyNames"].includes(name) && !Array.isArray(a) && !Array.isArray(b))
    return { allOf: [a, b] };
  if (name === "required" && Array.isArray(a) && Array.isArray(b)) return [...new Set([...a, ...b])];
  if (name === "enum" && Array.isArray(a) && Array.isArray(b)) return a.filter((each) => b.some((one) => same(each, one)));
  if (name === "type") return commonTypes(a, b);
  if (/^(minimum|exclusiveMinimum|minLength|minItems|minProperties)$/.test(name)) return Math.max(Number(a), Number(b));
  if (/^(maximum|exclusiveMaximum|maxLength|maxItems|maxProperties)$/.test(name)) return Math.min(Number(a), Number(b));
  if (name === "uniqueItems") return Boolean(a) || Boolean(b);
  if (BOTH.has(name)) throw new Unreadable(`two choices (${name}) hold at once`);
  return b;
}

function commonTypes(a: Json, b: Json): Json {
  const [some, others] = [[a].flat(), [b].flat()];
  const left = some.filter((each) => others.includes(each) || (each === "integer" && others.includes("number")));
  if (some.includes("number") && others.includes("integer")) left.push("integer");
  if (!left.length) throw new Unreadable("it wants two types at once");
  return left.length === 1 ? left[0]! : left;
}

/** Whether two values are the same JSON. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((each, at) => same(each, b[at]));
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
}

/** A schema without references, `allOf` and conditions, as they stand for a value. Throws `Unreadable`. */
export function flat(schema: Schema, root: Schema, value: Json | undefined, depth = 0): Schema {
  if (depth > FARTHEST) throw new Unreadable("its references lead around in a circle");
  if (!isObject(schema)) return schema;
  const own: JsonObject = Object.fromEntries(Object.entries(schema).filter(([name]) => !WORDS_OF_OTHERS.has(name)));
  let out: Schema = own;
  const more = (other: Json | undefined) => {
    // What stands beside a reference is nearer than what it names: its title and description are shown.
    const further = flat(asSchema(other), root, value, depth + 1);
    const merged = merge(further, out);
    out = merged;
  };
  const reference = schema["$ref"] ?? schema["$dynamicRef"];
  if (typeof reference === "string") more(referred(root, reference));
  if (Array.isArray(schema["allOf"])) schema["allOf"].forEach(more);
  if (schema["if"] !== undefined) {
    const holds = !check(asSchema(schema["if"]), value ?? null, root).length;
    const consequence = schema[holds ? "then" : "else"];
    if (consequence !== undefined) more(consequence);
  }
  if (isObject(schema["dependentSchemas"]) && isObject(value))
    for (const [name, each] of Object.entries(schema["dependentSchemas"])) if (Object.hasOwn(value, name)) more(each);
  return out;
}
