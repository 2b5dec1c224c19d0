// From a schema to what a form shows of it, one level at a time: what is inside is planned when it is seen, so a schema may
// refer to itself. What has no form is edited as JSON.

import type { Json, JsonObject } from "../api.ts";
import { check, closer, tame } from "./check.ts";
import { asSchema, flat, isObject, same, Unreadable, type Schema } from "./schema.ts";

interface Common {
  title: string;
  description: string;
  /** The schema's own, if any. */
  fallback: Json | undefined;
  examples: Json[];
  deprecated: boolean;
  readOnly: boolean;
}

export interface Option {
  value: Json;
  title: string;
}

export interface Member {
  name: string;
  schema: Schema;
  required: boolean;
}

export interface Branch {
  title: string;
  schema: Schema;
}

export type Shape =
  | { kind: "text"; format: string; hint: string; long: boolean }
  | { kind: "file"; dataUrl: boolean; media: string }
  | { kind: "number"; integer: boolean; hint: string }
  | { kind: "boolean" }
  | { kind: "null" }
  | { kind: "constant"; value: Json }
  | { kind: "enum"; options: Option[] }
  | { kind: "several"; options: Option[]; hint: string }
  | { kind: "object"; members: Member[]; open: boolean; rest: (name: string) => Schema }
  | { kind: "array"; item: (index: number) => Schema; fixed: number; more: boolean; hint: string }
  | { kind: "choice"; branches: Branch[] }
  | { kind: "json"; why: string };

export type Plan = Common & Shape;

const FEW = 12;
const LONG_TEXT = 200;
const BASE64 = new Set(["byte", "base64", "binary"]);

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");
const list = (value: Json | undefined) => (Array.isArray(value) ? value : []);
const number = (value: Json | undefined) => (typeof value === "number" ? value : null);

/** The plan of a schema, as it is for a value. */
export function plan(schema: Schema, root: Schema, value?: Json): Plan {
  let read: Schema;
  try {
    read = flat(schema, root, value);
  } catch (problem) {
    if (!(problem instanceof Unreadable)) throw problem;
    const own = isObject(schema) ? schema : {};
    return { ...common(own), kind: "json", why: `There is no form for this: ${problem.message}.` };
  }
  if (read === false) return { ...common({}), kind: "json", why: "The schema allows nothing here." };
  if (read === true) return { ...common({}), kind: "json", why: "Any value." };
  return { ...common(read), ...shape(read, root, value) };
}

function common(schema: JsonObject): Common {
  return {
    title: text(schema["title"]),
    description: text(schema["description"]),
    fallback: schema["default"],
    examples: list(schema["examples"]),
    deprecated: schema["deprecated"] === true,
    readOnly: schema["readOnly"] === true,
  };
}

function shape(schema: JsonObject, root: Schema, value: Json | undefined): Shape {
  if (schema["const"] !== undefined) return { kind: "constant", value: schema["const"] };
  const options = optionsOf(schema, root);
  if (options) return { kind: "enum", options };
  const branches = branchesOf(schema);
  if (branches) return { kind: "choice", branches };
  switch (typeIn(schema)) {
    case "string":
      return ofText(schema);
    case "number":
    case "integer":
      return { kind: "number", integer: schema["type"] === "integer", hint: bounds(schema) };
    case "boolean":
      return { kind: "boolean" };
    case "null":
      return { kind: "null" };
    case "array":
      return ofArray(schema, root, value);
    case "object":
      return ofObject(schema);
    default:
      return { kind: "json", why: "Any value." };
  }
}

/** The one type that a schema names, or that its other words are about. */
function typeIn(schema: JsonObject): string {
  const named = [schema["type"]].flat();
  if (named.length === 1 && typeof named[0] === "string") return named[0];
  if (isObject(schema["properties"]) || isObject(schema["patternProperties"])) return "object";
  if (schema["items"] !== undefined || schema["prefixItems"] !== undefined) return "array";
  if (number(schema["minLength"]) !== null || text(schema["format"]) || text(schema["pattern"])) return "string";
  if (number(schema["minimum"]) !== null || number(schema["maximum"]) !== null) return "number";
  return "";
}

/** The values that an `enum`, or a choice of nothing but constants, allows. */
export function optionsOf(schema: JsonObject, root: Schema): Option[] | null {
  if (Array.isArray(schema["enum"])) {
    const names = list(schema["enumNames"]);
    return schema["enum"].map((value, at) => ({ value, title: text(names[at]) || spelled(value) }));
  }
  for (const word of ["oneOf", "anyOf"]) {
    const branches = list(schema[word]).map((each) => constantOf(asSchema(each), root));
    if (branches.length && branches.every((each) => each !== null)) return branches;
  }
  return null;
}

function constantOf(schema: Schema, root: Schema): Option | null {
  let read: Schema;
  try {
    read = flat(schema, root, undefined);
  } catch {
    return null;
  }
  if (!isObject(read) || read["const"] === undefined) return null;
  return { value: read["const"], title: text(read["title"]) || text(read["description"]) || spelled(read["const"]) };
}

/** A value in few words. */
export const spelled = (value: Json) => (typeof value === "string" && value ? value : JSON.stringify(value));

function branchesOf(schema: JsonObject): Branch[] | null {
  const word = Array.isArray(schema["oneOf"]) ? "oneOf" : Array.isArray(schema["anyOf"]) ? "anyOf" : null;
  if (word) {
    const { [word]: some, title: _, description: __, default: ___, ...beside } = schema;
    const branches = list(some).map(asSchema);
    // Branches that only say what is required are no choice of shapes: the form is that of the schema around them.
    if (branches.every((each) => isObject(each) && Object.keys(each).every((name) => name === "required"))) return null;
    return branches.map((each, at) => ({
      title: titleOf(each, at),
      schema: Object.keys(beside).length ? { allOf: [each, beside] } : each,
    }));
  }
  const types = schema["type"];
  if (!Array.isArray(types) || types.length < 2) return null;
  const { title: _, description: __, default: ___, ...rest } = schema;
  return types.map((type) => ({ title: NAMES[text(type)] ?? text(type), schema: { ...rest, type } }));
}

const NAMES: Record<string, string> = { string: "text", object: "members", array: "list", boolean: "yes or no" };

function titleOf(schema: Schema, at: number): string {
  if (!isObject(schema)) return `choice ${at + 1}`;
  if (text(schema["title"])) return text(schema["title"]);
  const reference = text(schema["$ref"]);
  if (reference) return reference.slice(reference.lastIndexOf("/") + 1);
  const members = isObject(schema["properties"]) ? Object.entries(schema["properties"]) : [];
  const [fixed] = members.filter(([, each]) => isObject(each) && each["const"] !== undefined);
  if (fixed && isObject(fixed[1])) return spelled(fixed[1]["const"]!);
  const type = text(schema["type"]);
  if (type === "array" && isObject(schema["items"]) && text(schema["items"]["type"]))
    return `list of ${NAMES[text(schema["items"]["type"])] ?? text(schema["items"]["type"])}`;
  if (members.length) return members.map(([name]) => name).slice(0, 3).join(", ");
  if (schema["const"] !== undefined) return spelled(schema["const"]);
  return (NAMES[type] ?? type) || text(schema["description"]) || `choice ${at + 1}`;
}

function ofText(schema: JsonObject): Shape {
  const format = text(schema["format"]);
  const media = text(schema["contentMediaType"]);
  if (/^base64(url)?$/.test(text(schema["contentEncoding"])) || BASE64.has(format) || format === "data-url")
    return { kind: "file", dataUrl: format === "data-url", media };
  const [least, most, pattern] = [number(schema["minLength"]), number(schema["maxLength"]), text(schema["pattern"])];
  const hints = [
    least !== null && most !== null ? `${least} to ${most} characters` : "",
    least !== null && most === null && least > 0 ? `${least} characters or more` : "",
    least === null && most !== null ? `${most} characters or fewer` : "",
    pattern ? `as ${pattern}` : "",
    format,
  ];
  const long = !format && !pattern && (most === null ? /multi.?line|markdown|textarea/i.test(media) : most > LONG_TEXT);
  return { kind: "text", format, hint: hints.filter(Boolean).join(", "), long };
}

function bounds(schema: JsonObject): string {
  const [least, most] = [number(schema["minimum"]), number(schema["maximum"])];
  const [above, below] = [number(schema["exclusiveMinimum"]), number(schema["exclusiveMaximum"])];
  const step = number(schema["multipleOf"]);
  const said = [
    least !== null && most !== null ? `${least} to ${most}` : "",
    least !== null && most === null ? `${least} or more` : "",
    least === null && most !== null ? `${most} or less` : "",
    above !== null ? `more than ${above}` : "",
    below !== null ? `less than ${below}` : "",
    step ? `in steps of ${step}` : "",
  ];
  return said.filter(Boolean).join(", ");
}

function ofArray(schema: JsonObject, root: Schema, value: Json | undefined): Shape {
  const listed = Array.isArray(schema["items"]) ? schema["items"] : list(schema["prefixItems"]);
  const rest = Array.isArray(schema["items"]) ? schema["additionalItems"] : schema["items"];
  const [least, most] = [number(schema["minItems"]), number(schema["maxItems"])];
  const hint = [least !== null ? `at least ${least}` : "", most !== null ? `at most ${most}` : ""].filter(Boolean).join(", ");
  const item = (index: number) => asSchema(index < listed.length ? listed[index] : rest);
  if (!listed.length && rest !== undefined) {
    const options = severalOf(asSchema(rest), root);
    const twice = Array.isArray(value) && value.some((each, at) => value.slice(0, at).some((one) => same(one, each)));
    if (options && !twice && (schema["uniqueItems"] === true || options.length <= FEW))
      return { kind: "several", options, hint };
  }
  return { kind: "array", item, fixed: listed.length, more: rest !== false, hint };
}

function severalOf(schema: Schema, root: Schema): Option[] | null {
  try {
    const read = flat(schema, root, undefined);
    return isObject(read) ? optionsOf(read, root) : null;
  } catch {
    return null;
  }
}

function ofObject(schema: JsonObject): Shape {
  const properties = isObject(schema["properties"]) ? schema["properties"] : {};
  const required = list(schema["required"]);
  const members = Object.entries(properties).map(([name, each]) => ({
    name,
    schema: asSchema(each),
    required: required.includes(name),
  }));
  for (const name of required)
    if (typeof name === "string" && !Object.hasOwn(properties, name)) members.push({ name, schema: true, required: true });
  const further = schema["additionalProperties"];
  const patterns = Object.entries(isObject(schema["patternProperties"]) ? schema["patternProperties"] : {});
  const rest = (name: string): Schema => {
    const fitting = patterns.filter(([pattern]) => tame(pattern)?.test(name.slice(0, 64)));
    if (fitting.length) return fitting.length === 1 ? asSchema(fitting[0]![1]) : { allOf: fitting.map(([, each]) => each) };
    return asSchema(further);
  };
  // Members that nobody named are offered where the schema speaks of them, or of no others.
  const open = patterns.length > 0 || (further !== false && (further !== undefined || !members.length));
  return { kind: "object", members, open, rest };
}

/** The branch of a choice that a value fits best, by its place; the first one for no value. */
export function branchFor(branches: Branch[], root: Schema, value: Json | undefined): number {
  if (value === undefined) return 0;
  const distances = branches.map((each) => closer(check(each.schema, value, root), ""));
  return distances.indexOf(Math.min(...distances));
}

const DEEPEST = 8;

/** What a form has before anybody typed: defaults, constants, and members that are required and have but one way to be. */
export function initial(schema: Schema, root: Schema = schema, required = true, depth = 0): Json | undefined {
  const made = plan(schema, root);
  if (made.fallback !== undefined) return made.fallback;
  if (!required || depth > DEEPEST) return undefined;
  switch (made.kind) {
    case "constant":
      return made.value;
    case "null":
      return null;
    case "boolean":
      return false;
    case "enum":
      return made.options.length === 1 ? made.options[0]!.value : undefined;
    case "several":
      return [];
    case "array":
      return made.fixed
        ? Array.from({ length: made.fixed }, (_, at) => initial(made.item(at), root, true, depth + 1) ?? null)
        : [];
    case "choice":
      return made.branches[0] && initial(made.branches[0].schema, root, true, depth + 1);
    case "object": {
      const entries = made.members.map(({ name, schema: each, required: needed }) => [
        name,
        initial(each, root, needed, depth + 1),
      ]);
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as JsonObject;
    }
    default:
      return undefined;
  }
}

/** What a new item of an array is. */
export function fresh(schema: Schema, root: Schema): Json {
  const made = plan(schema, root);
  return initial(schema, root) ?? (made.kind === "text" || made.kind === "file" ? "" : null);
}

/** A value of one branch, taken over into another: members of the same name stay. */
export function carried(value: Json | undefined, to: Json | undefined, target: Plan): Json | undefined {
  if (!isObject(value) || target.kind !== "object") return to;
  const names = new Map(target.members.map((each) => [each.name, each]));
  const kept = Object.entries(value).filter(([name]) => {
    const member = names.get(name);
    return member !== undefined && !(isObject(member.schema) && member.schema["const"] !== undefined);
  });
  return { ...Object.fromEntries(kept), ...(isObject(to) ? onlyConstants(to, target) : {}) };
}

function onlyConstants(to: JsonObject, target: Plan): JsonObject {
  const fixed = target.kind === "object" ? target.members : [];
  const names = fixed.filter((each) => isObject(each.schema) && each.schema["const"] !== undefined);
  return Object.fromEntries(names.filter(({ name }) => name in to).map(({ name }) => [name, to[name]!]));
}

/** The text of a number field as a number; null if it is none. */
export function numberOf(typed: string): number | null {
  const value = Number(typed.trim());
  return typed.trim() !== "" && Number.isFinite(value) ? value : null;
}

/** A list with an item moved by one place. */
export function moved<T>(items: readonly T[], from: number, by: -1 | 1): T[] {
  const out = items.slice();
  const [item] = out.splice(from, 1);
  if (item !== undefined) out.splice(from + by, 0, item);
  return out;
}

/** An object with a member set, or without it where the value is undefined; the order of members stays. */
export function withMember(object: JsonObject, name: string, value: Json | undefined): JsonObject {
  if (value !== undefined) return { ...object, [name]: value };
  return Object.fromEntries(Object.entries(object).filter(([each]) => each !== name));
}
