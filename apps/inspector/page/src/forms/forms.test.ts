// What forms compute. Run by tools/page.py --test with Node's own runner.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json, JsonObject } from "../api.ts";
import { check, tame } from "./check.ts";
import { branchFor, carried, fresh, initial, moved, numberOf, plan, withMember } from "./plan.ts";
import { asSchema, flat, merge, same, Unreadable } from "./schema.ts";

const kinds = (schema: JsonObject, value?: Json) => {
  const made = plan(schema, schema, value);
  if (made.kind !== "object") return made.kind;
  return Object.fromEntries(made.members.map((each) => [each.name, plan(each.schema, schema, undefined).kind]));
};
const wheres = (schema: JsonObject, value: Json) => check(schema, value).map((each) => each.where);

test("each type has its control", () => {
  const properties: JsonObject = {
    text: { type: "string" },
    whole: { type: "integer" },
    real: { type: "number" },
    yes: { type: "boolean" },
    nothing: { type: "null" },
    fixed: { const: 3 },
    one: { enum: ["a", 1, null] },
    named: { oneOf: [{ const: "x", title: "The x" }, { const: "y" }] },
    some: { type: "array", items: { enum: ["a", "b"] } },
    many: { type: "array", items: { type: "string" } },
    inner: { type: "object", properties: { a: { type: "string" } } },
    either: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
    maybe: { type: ["string", "null"] },
    bytes: { type: "string", contentEncoding: "base64" },
    any: {},
  };
  assert.deepEqual(kinds({ type: "object", properties }), {
    text: "text",
    whole: "number",
    real: "number",
    yes: "boolean",
    nothing: "null",
    fixed: "constant",
    one: "enum",
    named: "enum",
    some: "several",
    many: "array",
    inner: "object",
    either: "choice",
    maybe: "choice",
    bytes: "file",
    any: "json",
  });
});

test("a choice of constants shows their titles, and enumNames are names", () => {
  const titled = plan({ oneOf: [{ const: "x", title: "The x" }, { const: 2 }] }, true);
  assert.deepEqual(titled.kind === "enum" && titled.options, [
    { value: "x", title: "The x" },
    { value: 2, title: "2" },
  ]);
  const named = plan({ enum: ["a", "b"], enumNames: ["Aye"] }, true);
  assert.deepEqual(named.kind === "enum" && named.options.map((each) => each.title), ["Aye", "b"]);
});

test("references are followed, those into nowhere and out of the schema have JSON instead of a form", () => {
  const root: JsonObject = {
    type: "object",
    properties: { a: { $ref: "#/$defs/a~1b" }, gone: { $ref: "#/$defs/none" }, out: { $ref: "https://x.example/s" } },
    $defs: { "a/b": { type: "integer", title: "From afar" } },
  };
  assert.deepEqual(kinds(root), { a: "number", gone: "json", out: "json" });
  const beside = plan({ $ref: "#/$defs/a~1b", title: "Nearer" }, root);
  assert.equal(beside.title, "Nearer");
  const why = plan({ $ref: "https://x.example/s" }, root);
  assert.match(why.kind === "json" ? why.why : "", /https:\/\/x\.example\/s, which is not in the schema/);
});

test("anchors and references by the schema's own name are found", () => {
  const root: JsonObject = { $id: "https://x.example/s", $defs: { one: { $anchor: "here", type: "boolean" } } };
  assert.equal(plan({ $ref: "#here" }, root).kind, "boolean");
  assert.equal(plan({ $ref: "https://x.example/s#here" }, root).kind, "boolean");
});

test("a schema that is made of itself is planned as deep as it is seen", () => {
  const tree: JsonObject = {
    $ref: "#/$defs/node",
    $defs: {
      node: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, children: { type: "array", items: { $ref: "#/$defs/node" } } },
      },
    },
  };
  assert.deepEqual(kinds(tree), { name: "text", children: "array" });
  assert.deepEqual(initial(tree), {});
  assert.deepEqual(wheres(tree, { name: "a", children: [{ name: "b" }, {}] }), ["/children/1/name"]);
  const endless: JsonObject = {
    $ref: "#/$defs/n",
    $defs: { n: { type: "object", required: ["n"], properties: { n: { $ref: "#/$defs/n" } } } },
  };
  assert.ok(JSON.stringify(initial(endless)).length < 200);
});

test("a circle of references ends", () => {
  const root: JsonObject = { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } };
  assert.throws(() => flat(root, root, undefined), Unreadable);
  assert.equal(plan(root, root).kind, "json");
  assert.deepEqual(check(root, 3), []);
});

test("allOf is one form, with the narrower of two bounds", () => {
  const root: JsonObject = {
    allOf: [
      { type: "object", properties: { a: { type: "integer", minimum: 1 } }, required: ["a"] },
      { properties: { a: { minimum: 5, maximum: 9 }, b: { type: "string" } }, required: ["b"] },
    ],
  };
  const made = plan(root, root);
  assert.equal(made.kind, "object");
  const members = made.kind === "object" ? made.members : [];
  assert.deepEqual(members.map((each) => [each.name, each.required]), [["a", true], ["b", true]]);
  const a = plan(members[0]!.schema, root);
  assert.deepEqual(a.kind === "number" && [a.hint, a.integer], ["5 to 9", true]);
  assert.deepEqual(merge({ enum: [1, 2, 3] }, { enum: [2, 3, 4] }), { enum: [2, 3] });
  assert.throws(() => merge({ type: "string" }, { type: "integer" }), Unreadable);
  assert.throws(() => merge({ anyOf: [{}] }, { anyOf: [true] }), Unreadable);
});

test("then and else are as the value is", () => {
  const root: JsonObject = {
    type: "object",
    properties: { kind: { enum: ["a", "b"] } },
    if: { properties: { kind: { const: "a" } }, required: ["kind"] },
    then: { properties: { forA: { type: "string" } }, required: ["forA"] },
    else: { properties: { forB: { type: "number" } } },
  };
  assert.deepEqual(kinds(root, { kind: "a" }), { kind: "enum", forA: "text" });
  assert.deepEqual(kinds(root, { kind: "b" }), { kind: "enum", forB: "number" });
  assert.deepEqual(wheres(root, { kind: "a" }), ["/forA"]);
});

test("the branch of a choice is the one that a value fits best", () => {
  const schema: JsonObject = {
    oneOf: [
      { type: "object", properties: { kind: { const: "circle" }, radius: { type: "number" } }, required: ["kind", "radius"] },
      { type: "object", properties: { kind: { const: "box" }, width: { type: "number" } }, required: ["kind", "width"] },
    ],
  };
  const made = plan(schema, schema);
  assert.ok(made.kind === "choice");
  assert.deepEqual(made.branches.map((each) => each.title), ["circle", "box"]);
  assert.equal(branchFor(made.branches, schema, { kind: "box" }), 1);
  assert.equal(branchFor(made.branches, schema, undefined), 0);
  assert.deepEqual(initial(schema), { kind: "circle" });
});

test("what two branches share stays when the other is chosen", () => {
  const target = plan({ properties: { kind: { const: "b" }, name: { type: "string" } } }, true);
  assert.deepEqual(carried({ kind: "a", name: "N", radius: 2 }, { kind: "b" }, target), { name: "N", kind: "b" });
  assert.equal(carried("text", 3, target), 3);
});

test("words beside a choice hold in each branch", () => {
  const schema: JsonObject = {
    type: "object",
    properties: { name: { type: "string" } },
    required: ["name"],
    oneOf: [{ properties: { a: { type: "integer" } } }, { properties: { b: { type: "integer" } } }],
  };
  const made = plan(schema, schema);
  assert.ok(made.kind === "choice");
  const first = plan(made.branches[0]!.schema, schema);
  assert.deepEqual(first.kind === "object" && first.members.map((each) => each.name), ["name", "a"]);
});

test("a choice of what is required is no choice of forms", () => {
  const schema: JsonObject = {
    type: "object",
    properties: { a: { type: "string" }, b: { type: "string" } },
    anyOf: [{ required: ["a"] }, { required: ["b"] }],
  };
  assert.deepEqual(kinds(schema), { a: "text", b: "text" });
  assert.equal(wheres(schema, {}).length, 1);
});

test("a form begins with defaults, constants and what has to be there", () => {
  const schema: JsonObject = {
    type: "object",
    required: ["fixed", "flag", "inner", "text", "only"],
    properties: {
      fixed: { const: "f" },
      flag: { type: "boolean" },
      inner: { type: "object", properties: { depth: { type: "integer", default: 2 } } },
      text: { type: "string" },
      only: { enum: ["one"] },
      chosen: { type: "string", default: "d" },
      optional: { type: "object", properties: {} },
    },
  };
  assert.deepEqual(initial(schema), { fixed: "f", flag: false, inner: { depth: 2 }, only: "one", chosen: "d" });
  assert.equal(fresh({ type: "string" }, true), "");
  assert.deepEqual(fresh({ type: "object", properties: { a: { default: 1 } } }, true), { a: 1 });
});

test("tuples have a schema for each place", () => {
  for (const schema of [
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: false },
    { type: "array", items: [{ type: "string" }, { type: "integer" }], additionalItems: false },
  ] as JsonObject[]) {
    const made = plan(schema, schema);
    assert.ok(made.kind === "array");
    assert.deepEqual([made.fixed, made.more, plan(made.item(1), schema).kind], [2, false, "number"]);
    assert.deepEqual(wheres(schema, ["a", "b", 3]), ["/1", "/2"]);
  }
});

test("further members have the schema of their name", () => {
  const schema: JsonObject = { patternProperties: { "^n": { type: "number" } }, additionalProperties: { type: "string" } };
  const made = plan(schema, schema);
  assert.ok(made.kind === "object" && made.open);
  assert.equal(plan(made.rest("number"), schema).kind, "number");
  assert.equal(plan(made.rest("other"), schema).kind, "text");
  assert.deepEqual(wheres(schema, { n1: "x", other: 3, fine: "y" }), ["/n1", "/other"]);
  const closed = plan({ type: "object", properties: { a: true }, additionalProperties: false }, true);
  assert.equal(closed.kind === "object" && closed.open, false);
});

test("what does not fit is said where it is", () => {
  const found = (schema: JsonObject, value: Json) => check(schema, value).map((each) => each.what).join("; ");
  assert.match(found({ type: "integer" }, 1.5), /has to be integer, and is number/);
  assert.match(found({ minimum: 3 }, 2), /3 or more/);
  assert.match(found({ exclusiveMaximum: 3 }, 3), /less than 3/);
  assert.match(found({ multipleOf: 0.1 }, 0.25), /multiple of 0.1/);
  assert.equal(found({ multipleOf: 0.1 }, 0.3), "");
  assert.match(found({ minLength: 3 }, "äö"), /3 characters or more, and has 2/);
  assert.equal(found({ maxLength: 1 }, "😀"), "");
  assert.match(found({ pattern: "^a+$" }, "b"), /look like/);
  assert.match(found({ uniqueItems: true }, [1, { a: 1 }, { a: 1 }]), /there already/);
  assert.match(found({ contains: { const: 1 } }, [2]), /lacks an item/);
  assert.match(found({ oneOf: [{ type: "integer" }, { minimum: 1 }] }, 2), /fits 2 of the choices/);
  assert.match(found({ not: { const: 1 } }, 1), /may not be/);
  assert.match(found({ dependentRequired: { a: ["b"] } }, { a: 1 }), /required beside a/);
  assert.match(found({ propertyNames: { maxLength: 1 } }, { long: 1 }), /may not be called/);
  assert.equal(found({ properties: { toString: { type: "string" } } }, {}), "");
  assert.match(found({ required: ["toString"] }, {}), /is required/);
});

test("no pattern of a server's keeps the page busy", () => {
  const began = performance.now();
  const trap = `${"a".repeat(60)}!`;
  for (const pattern of ["(a+)+$", "(a|a)*$", "a*a*a*a*a*a*$", "(?=(a+))\\1*$", "([a-z]+)*$"])
    check({ pattern }, trap);
  assert.ok(performance.now() - began < 1000);
  assert.equal(tame("(a+)+$"), null);
  assert.equal(tame("["), null);
  assert.equal(tame("^[a-z]+$")?.test("abc"), true);
});

test("a schema of any depth and width ends", () => {
  let deep: JsonObject = { type: "string" };
  for (let at = 0; at < 2000; at++) deep = { type: "object", properties: { a: deep } };
  let value: Json = 1;
  for (let at = 0; at < 2000; at++) value = { a: value };
  assert.ok(Array.isArray(check(deep, value)));
  const wide = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`m${at}`, { type: "string" }]));
  assert.equal(Object.keys(kinds({ type: "object", properties: wide }) as object).length, 20_000);
});

test("values are compared as JSON", () => {
  assert.ok(same({ a: [1, null], b: "x" }, { b: "x", a: [1, null] }));
  assert.ok(!same({ a: 1 }, { a: 1, b: 2 }));
  assert.ok(!same([], {}));
  assert.ok(!same(null, undefined));
});

test("numbers are read as they are typed", () => {
  assert.deepEqual(["1", " 2.5 ", "-3e2", "", "1e", "x", "Infinity"].map(numberOf), [1, 2.5, -300, null, null, null, null]);
});

test("members and items keep their order", () => {
  assert.deepEqual(Object.keys(withMember({ a: 1, b: 2, c: 3 }, "b", 9)), ["a", "b", "c"]);
  assert.deepEqual(withMember({ a: 1, b: 2 }, "a", undefined), { b: 2 });
  assert.deepEqual(moved(["a", "b", "c"], 2, -1), ["a", "c", "b"]);
  assert.deepEqual(asSchema("what?"), true);
});

test("a member called __proto__ is a member", () => {
  const value = JSON.parse('{"__proto__": 1}') as JsonObject;
  const set = withMember(value, "a", 2);
  assert.deepEqual(Object.keys(set), ["__proto__", "a"]);
  assert.deepEqual(wheres({ additionalProperties: false }, value), ["/__proto__"]);
});
