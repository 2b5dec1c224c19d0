import assert from "node:assert/strict";
import { test } from "node:test";
import type { Severity } from "../api.ts";
import { ordered } from "./data.ts";

test("the worst comes first, then the most frequent", () => {
  const rule = (name: string, severity: Severity, count: number) => ({ rule: name, severity, count, what: "", requirement: "", page: "", records: [] });
  const all = [rule("a", "hint", 99), rule("b", "error", 1), rule("d", "warning", 2), rule("c", "error", 5), rule("e", "error", 1)];
  assert.deepEqual(ordered(all).map((each) => each.rule), ["c", "b", "e", "d", "a"]);
});
