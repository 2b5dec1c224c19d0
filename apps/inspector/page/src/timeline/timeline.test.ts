import assert from "node:assert/strict";
import { test } from "node:test";
import { laidOut } from "./lanes.ts";
import { histogram } from "./latencies.ts";
import { CLOSEST, panned, revealing, ticks, tickText, zoomed } from "./scale.ts";

const ALL = { start: 0, end: 100 };

test("zooming keeps what is under the pointer, and stays inside", () => {
  const seen = zoomed(ALL, ALL, 0.5, 20);
  assert.deepEqual(seen, { start: 10, end: 60 });
  assert.deepEqual(zoomed(seen, ALL, 100, 20), ALL);
  const close = zoomed(ALL, ALL, 1e-12, 50);
  assert.ok(Math.abs(close.end - close.start - CLOSEST) < 1e-9);
});

test("panning stops at both ends", () => {
  const seen = { start: 10, end: 20 };
  assert.deepEqual(panned(seen, ALL, -50), { start: 0, end: 10 });
  assert.deepEqual(panned(seen, ALL, 500), { start: 90, end: 100 });
});

test("a span is brought into view, wider where it is longer", () => {
  assert.deepEqual(revealing({ start: 0, end: 10 }, ALL, 2, 3), { start: 0, end: 10 });
  assert.deepEqual(revealing({ start: 0, end: 10 }, ALL, 50, 52), { start: 46, end: 56 });
  const wide = revealing({ start: 0, end: 10 }, ALL, 40, 60);
  assert.ok(wide.start <= 40 && wide.end >= 60);
});

test("marks are round and few", () => {
  assert.deepEqual(ticks(ALL, 5).at, [0, 20, 40, 60, 80, 100]);
  const fine = ticks({ start: 1.0001, end: 1.0009 }, 4);
  assert.ok(fine.at.length <= 5 && fine.at.every((each) => each >= 1.0001 && each <= 1.0009 + 1e-12));
  assert.deepEqual([tickText(20, 10), tickText(0.25, 0.05), tickText(0.0012, 0.0002)], ["20 s", "250 ms", "1.2 ms"]);
});

test("spans that overlap stand below each other, lanes one after the other", () => {
  const layout = laidOut(
    [
      { id: "a", lane: "x", start: 0, end: 10 },
      { id: "b", lane: "x", start: 5, end: 6 },
      { id: "c", lane: "y", start: 0, end: null },
      { id: "d", lane: "x", start: 10, end: 11 },
      { id: "e", lane: "y", start: 19, end: 20 },
    ],
    20,
  );
  assert.deepEqual(layout.lanes, [
    { name: "x", first: 0, rows: 2 },
    { name: "y", first: 2, rows: 2 },
  ]);
  assert.deepEqual(["a", "b", "c", "d", "e"].map((id) => layout.row.get(id)), [0, 1, 2, 0, 3]);
});

test("ten thousand spans at once are laid out in rows that have an end", () => {
  const spans = Array.from({ length: 10_000 }, (_, index) => ({ id: String(index), lane: 1, start: 0, end: 1 }));
  const layout = laidOut(spans, 1);
  assert.equal(layout.rows, 60);
  assert.equal(layout.row.size, 10_000);
});

test("columns go from the quickest to the slowest, each answer in one", () => {
  const columns = histogram([0.001, 0.0011, 0.02, 0.005, Number.NaN, 0]);
  assert.equal(columns.reduce((sum, each) => sum + each.count, 0), 5);
  const one = columns.find((each) => each.from === 0.001);
  assert.deepEqual(one, { from: 0.001, to: 0.002, count: 2 });
  assert.equal(columns.at(-1)!.from, 0.02);
  assert.deepEqual(histogram([]), []);
});
