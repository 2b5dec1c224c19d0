import assert from "node:assert/strict";
import { test } from "node:test";
import { LEVELS, severityOf } from "./levels.ts";

test("levels go from the least severe to the worst, and what is none is not missed", () => {
  assert.deepEqual(LEVELS.toSorted((a, b) => severityOf(a) - severityOf(b)), [...LEVELS]);
  assert.ok(severityOf("loud") > severityOf("emergency"));
});
