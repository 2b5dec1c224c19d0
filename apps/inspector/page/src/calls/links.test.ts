import assert from "node:assert/strict";
import { test } from "node:test";
import { linkTo, valuesIn } from "./links.ts";

test("the values of a link are those that it was made with", () => {
  const values = { text: 'a&b=c#d?"é\u202e', list: [1, null, { a: true }] };
  const link = linkTo("http://127.0.0.1:1", "/s/s1/tools/a%2Fb", values)!;
  assert.ok(link.startsWith("http://127.0.0.1:1/#/s/s1/tools/a%2Fb?arguments="));
  assert.deepEqual(valuesIn(new URLSearchParams(link.split("?")[1]).get("arguments")!), values);
});

test("what is no object, or too long, is none", () => {
  for (const text of ["", "{", "[]", "7", "null", '"a"']) assert.throws(() => valuesIn(text), /values of this link/);
  assert.throws(() => valuesIn(`{"a":"${"x".repeat(40_000)}"}`), /longer/);
  assert.equal(linkTo("", "/", { a: "x".repeat(40_000) }), null);
});
