import assert from "node:assert/strict";
import { test } from "node:test";
import { nextLook, taskOf } from "./data.ts";

test("both vocabularies are read, and what has no id is no task", () => {
  const old = taskOf({ taskId: "a", status: "working", ttl: 60_000, pollInterval: 100 });
  const now = taskOf({ taskId: "b", status: "completed", ttlMs: null, pollIntervalMs: 3000 });
  assert.deepEqual([old?.ttl, old?.poll, now?.ttl, now?.poll], [60_000, 100, null, 3000]);
  assert.equal(taskOf({ status: "working" }), null);
});

test("a list is looked at again while something goes on, neither too often nor too seldom", () => {
  const task = (status: string, pollInterval: number) => taskOf({ taskId: "x", status, pollInterval })!;
  assert.equal(nextLook([]), 0);
  assert.equal(nextLook([task("completed", 1)]), 0);
  assert.equal(nextLook([task("working", 1), task("failed", 1)]), 500);
  assert.equal(nextLook([task("input_required", 1e9)]), 10_000);
  assert.equal(nextLook([task("working", 0)]), 2000);
});
