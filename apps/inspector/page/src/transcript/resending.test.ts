import assert from "node:assert/strict";
import { test } from "node:test";
import { messageOf } from "./resending.ts";

test("a request or notification can be sent", () => {
  assert.deepEqual(messageOf('{"method":"ping","id":1}'), { body: { method: "ping", id: 1 }, problem: "" });
});

test("what can't be sent is said, with why", () => {
  const why = ["{", "[]", "null", "{}", '{"method":""}', '{"method":"x","params":[1]}'].map((each) => messageOf(each).problem);
  assert.ok(why.every((each) => each !== ""));
  assert.match(why[0]!, /no JSON/);
  assert.match(why[5]!, /params/);
});
