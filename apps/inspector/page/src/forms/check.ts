// What does not fit a schema, said beside the field that it concerns. It is no judge: the server is. So what it does not
// understand, it lets pass.

import type { Json, JsonObject } from "../api.ts";
import { asSchema, isObject, referred, same, Unreadable, type Schema } from "./schema.ts";

export interface Problem {
  /** A JSON pointer to the value. */
  where: string;
  what: string;
}

const DEEPEST = 60;
const MOST = 200;
const LONGEST_TRIED = 64;

export const escaped = (name: string | number) => String(name).replaceAll("~", "~0").replaceAll("/", "~1");

/** The type of a value, as schemas call it. */
export function typeOf(value: Json): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

const hasType = (value: Json, type: Json) =>
  typeOf(value) === type || (type === "number" && typeof value === "number");

/** A pattern that can be tried without the danger of trying for ever: a server may have chosen it for that. */
export function tame(pattern: string): RegExp | null {
  if (pattern.length > 300 || /[)][*+{]|\\[1-9]|\(\?[<]?[=!]/.test(pattern)) return null;
  if ((pattern.match(/[*+}]/g) ?? []).length > 3) return null;
  try {
    return new RegExp(pattern, "u");
  } catch {
    return null;
  }
}

/** All that does not fit. */
export function check(schema: Schema, value: Json, root: Schema = schema): Problem[] {
  const found: Problem[] = [];
  new Checker(root, found).look(schema, value, "", 0);
  return found;
}

class Checker {
  readonly root: Schema;
  readonly found: Problem[];

  constructor(root: Schema, found: Problem[]) {
    this.root = root;
    this.found = found;
  }

  say(where: string, what: string): void {
    if (this.found.length < MOST) this.found.push({ where, what });
  }

  fits(schema: Json | undefined, value: Json, depth: number): boolean {
    const found: Problem[] = [];
    new Checker(this.root, found).look(asSchema(schema), value, "", depth);
    return !found.length;
  }

  look(schema: Schema, value: Json, at: string, depth: number): void {
    if (schema === true || depth > DEEPEST || this.found.length >= MOST) return;
    if (schema === false) return this.say(at, "may not be here");
    const reference = schema["$ref"] ?? schema["$dynamicRef"];
    if (typeof reference === "string") this.refer(reference, value, at, depth);
    if (schema["type"] !== undefined && ![schema["type"]].flat().some((each) => hasType(value, each)))
      return this.say(at, `has to be ${[schema["type"]].flat().join(" or ")}, and is ${typeOf(value)}`);
    if (schema["const"] !== undefined && !same(schema["const"], value))
      this.say(at, `has to be ${JSON.stringify(schema["const"])}`);
    if (Array.isArray(schema["enum"]) && !schema["enum"].some((each) => same(each, value)))
      this.say(at, "is none of the values that are allowed");
    if (typeof value === "number") this.number(schema, value, at);
    else if (typeof value === "string") this.text(schema, value, at);
    else if (Array.isArray(value)) this.array(schema, value, at, depth);
    else if (isObject(value)) this.object(schema, value, at, depth);
    this.combined(schema, value, at, depth);
  }

  refer(reference: string, value: Json, at: string, depth: number): void {
    try {
      this.look(referred(this.root, reference), value, at, depth + 1);
    } catch (problem) {
      if (!(problem instanceof Unreadable)) throw problem;
    }
  }

  number(schema: JsonObject, value: number, at: string): void {
    const limit = (name: string) => (typeof schema[name] === "number" ? schema[name] : null);
    const [least, most, above, below, step] = [
      limit("minimum"),
      limit("maximum"),
      limit("exclusiveMinimum"),
      limit("exclusiveMaximum"),
      limit("multipleOf"),
    ];
    if (least !== null && value < least) this.say(at, `has to be ${least} or more`);
    if (most !== null && value > most) this.say(at, `has to be ${most} or less`);
    if (above !== null && value <= above) this.say(at, `has to be more than ${above}`);
    if (below !== null && value >= below) this.say(at, `has to be less than ${below}`);
    if (step && Math.abs(value / step - Math.round(value / step)) > 1e-9) this.say(at, `has to be a multiple of ${step}`);
  }

  text(schema: JsonObject, value: string, at: string): void {
    const length = [...value].length;
    const { minLength, maxLength, pattern } = schema;
    if (typeof minLength === "number" && length < minLength)
      this.say(at, `has to have ${minLength} characters or more, and has ${length}`);
    if (typeof maxLength === "number" && length > maxLength)
      this.say(at, `has to have ${maxLength} characters or fewer, and has ${length}`);
    if (typeof pattern === "string" && length <= LONGEST_TRIED && tame(pattern)?.test(value) === false)
      this.say(at, `has to look like ${pattern}`);
  }

  array(schema: JsonObject, value: Json[], at: string, depth: number): void {
    const { minItems, maxItems } = schema;
    if (typeof minItems === "number" && value.length < minItems) this.say(at, `has to have ${minItems} items or more`);
    if (typeof maxItems === "number" && value.length > maxItems) this.say(at, `has to have ${maxItems} items or fewer`);
    if (schema["uniqueItems"] === true && value.length <= MOST) {
      const twice = value.findIndex((each, index) => value.slice(0, index).some((one) => same(one, each)));
      if (twice >= 0) this.say(`${at}/${twice}`, "is there already");
    }
    const listed = Array.isArray(schema["items"]) ? schema["items"] : schema["prefixItems"];
    const prefix = Array.isArray(listed) ? listed : [];
    const rest = Array.isArray(schema["items"]) ? schema["additionalItems"] : schema["items"];
    value.forEach((each, index) => {
      const one = index < prefix.length ? prefix[index] : rest;
      if (one !== undefined) this.look(asSchema(one), each, `${at}/${index}`, depth + 1);
    });
    if (schema["contains"] !== undefined && !value.some((each) => this.fits(schema["contains"], each, depth + 1)))
      this.say(at, "lacks an item that has to be there");
  }

  object(schema: JsonObject, value: JsonObject, at: string, depth: number): void {
    const names = Object.keys(value);
    const { required, minProperties, maxProperties, dependentRequired, propertyNames } = schema;
    for (const name of Array.isArray(required) ? required : [])
      if (typeof name === "string" && !Object.hasOwn(value, name)) this.say(`${at}/${escaped(name)}`, "is required");
    if (typeof minProperties === "number" && names.length < minProperties)
      this.say(at, `has to have ${minProperties} members or more`);
    if (typeof maxProperties === "number" && names.length > maxProperties)
      this.say(at, `has to have ${maxProperties} members or fewer`);
    if (isObject(dependentRequired))
      for (const [name, others] of Object.entries(dependentRequired))
        for (const other of Object.hasOwn(value, name) && Array.isArray(others) ? others : [])
          if (typeof other === "string" && !Object.hasOwn(value, other))
            this.say(`${at}/${escaped(other)}`, `is required beside ${name}`);
    const own = isObject(schema["properties"]) ? schema["properties"] : {};
    const patterns = Object.entries(isObject(schema["patternProperties"]) ? schema["patternProperties"] : {});
    for (const name of names) {
      const place = `${at}/${escaped(name)}`;
      if (propertyNames !== undefined && !this.fits(propertyNames, name, depth + 1)) this.say(place, "may not be called so");
      const known = Object.hasOwn(own, name);
      if (known) this.look(asSchema(own[name]), value[name]!, place, depth + 1);
      const fitting = patterns.filter(([pattern]) => name.length <= LONGEST_TRIED && tame(pattern)?.test(name) !== false);
      for (const [pattern, each] of fitting)
        if (tame(pattern)) this.look(asSchema(each), value[name]!, place, depth + 1);
      if (!known && !fitting.length && schema["additionalProperties"] !== undefined)
        this.look(asSchema(schema["additionalProperties"]), value[name]!, place, depth + 1);
    }
  }

  combined(schema: JsonObject, value: Json, at: string, depth: number): void {
    for (const each of Array.isArray(schema["allOf"]) ? schema["allOf"] : [])
      this.look(asSchema(each), value, at, depth + 1);
    for (const word of ["anyOf", "oneOf"] as const) {
      const branches = schema[word];
      if (Array.isArray(branches)) this.choice(word, branches, value, at, depth);
    }
    if (schema["not"] !== undefined && this.fits(schema["not"], value, depth + 1)) this.say(at, "is what it may not be");
    if (schema["if"] !== undefined) {
      const consequence = schema[this.fits(schema["if"], value, depth + 1) ? "then" : "else"];
      if (consequence !== undefined) this.look(asSchema(consequence), value, at, depth + 1);
    }
    if (isObject(schema["dependentSchemas"]) && isObject(value))
      for (const [name, each] of Object.entries(schema["dependentSchemas"]))
        if (Object.hasOwn(value, name)) this.look(asSchema(each), value, at, depth + 1);
  }

  choice(word: "anyOf" | "oneOf", branches: Json[], value: Json, at: string, depth: number): void {
    const tries = branches.map((each) => {
      const found: Problem[] = [];
      new Checker(this.root, found).look(asSchema(each), value, at, depth + 1);
      return found;
    });
    const fitting = tries.filter((each) => !each.length).length;
    if (!fitting) {
      // Of the branch that fits best it is worth to say why it does not.
      const best = tries.reduce((a, b) => (closer(b, at) < closer(a, at) ? b : a), tries[0] ?? []);
      best.forEach((each) => this.say(each.where, each.what));
      if (!best.length) this.say(at, "fits none of the choices");
    } else if (word === "oneOf" && fitting > 1) this.say(at, `fits ${fitting} of the choices, and has to fit just one`);
  }
}

/** How far a value is from a branch: what is wrong with itself weighs more than what is wrong inside. */
export function closer(problems: Problem[], at: string): number {
  return problems.reduce((sum, each) => sum + (each.where === at ? 100 : /is required$/.test(each.what) ? 2 : 10), 0);
}
