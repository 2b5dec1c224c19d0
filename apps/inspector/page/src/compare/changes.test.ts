import assert from "node:assert/strict";
import { test } from "node:test";
import { brief, bySeverity, counts, parted } from "./changes.ts";

test("rows are counted by kind", () => {
  const row = { a: 1, b: 1, method: "", name: "", changes: [] };
  assert.deepEqual(counts([{ ...row, kind: "same" }, { ...row, kind: "same" }, { ...row, kind: "only-a" }]), {
    same: 2, changed: 0, "only-a": 1, "only-b": 0,
  });
});

test("a long value shows its beginning and its end", () => {
  const text = brief("x".repeat(1000) + "end", 41);
  assert.ok(text.length <= 41 && text.startsWith('"xxx') && text.endsWith('end"'));
  assert.equal(brief(undefined), "nothing");
  assert.equal(brief(null), "null");
});

test("where two texts part", () => {
  assert.deepEqual(parted("3 left", "7 left"), { start: "", a: "3", b: "7", end: " left" });
  assert.deepEqual(parted("aa", "aaa"), { start: "aa", a: "", b: "a", end: "" });
  assert.deepEqual(parted("", "b"), { start: "", a: "", b: "b", end: "" });
});

test("the worst comes first, what is unknown last", () => {
  const change = (severity: string, where: string) => ({ severity, where, what: "" });
  const order = bySeverity([change("odd", "a"), change("compatible", "b"), change("breaking", "d"), change("breaking", "c")]);
  assert.deepEqual(order.map((each) => each.where), ["c", "d", "b", "a"]);
});
