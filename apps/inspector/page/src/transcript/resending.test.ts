import assert from "node:assert/strict";
import { test } from "node:test";
import type { Json } from "../api.ts";
import { obstacle } from "./resending.ts";

test("a request or notification can be sent", () => {
  assert.equal(obstacle({ method: "ping", id: 1 }), "");
  assert.equal(obstacle({ method: "x", params: {} }), "");
});

test("what can't be sent is said, with why", () => {
  const values: (Json | undefined)[] = [undefined, [], null, {}, { method: "" }, { method: "x", params: [1] }];
  const why = values.map(obstacle);
  assert.ok(why.every((each) => each !== ""));
  assert.match(why[5]!, /params/);
});
