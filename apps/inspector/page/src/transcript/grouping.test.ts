import assert from "node:assert/strict";
import { test } from "node:test";
import { entryAt, lengthOf, placeOf } from "./grouping.ts";

test("with nothing open, places are calls", () => {
  assert.deepEqual(entryAt([], 7), { head: 7, child: null });
  assert.equal(lengthOf([], 10), 10);
});

test("what belongs to a call stands under it, whatever is open", () => {
  const opened = [
    { head: 0, count: 2 },
    { head: 3, count: 1 },
  ];
  const all = Array.from({ length: lengthOf(opened, 5) }, (_, place) => entryAt(opened, place));
  assert.deepEqual(
    all.map((each) => (each.child === null ? `${each.head}` : `${each.head}.${each.child}`)),
    ["0", "0.0", "0.1", "1", "2", "3", "3.0", "4"],
  );
  assert.deepEqual([0, 1, 3, 4].map((head) => placeOf(opened, head)), [0, 3, 5, 7]);
});

test("a call to which nothing belongs takes one place", () => {
  assert.deepEqual(entryAt([{ head: 1, count: 0 }], 2), { head: 2, child: null });
});
