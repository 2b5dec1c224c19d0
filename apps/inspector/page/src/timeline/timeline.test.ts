import assert from "node:assert/strict";
import { test } from "node:test";
import { laidOut, MOST_LANES, spanAt } from "./lanes.ts";
import { columns } from "./latencies.ts";
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
  const said = [tickText(20, 10), tickText(8.5, 0.5), tickText(1.001, 0.001), tickText(0.25, 0.05), tickText(0.0012, 0.0002)];
  assert.deepEqual(said, ["20 s", "8.5 s", "1.001 s", "250 ms", "1.2 ms"]);
});

const span = (id: number, link: number, lane: number, start: number, end: number | null) => ({ id, link, lane, start, end });

test("each connection has a row for its name, then its lanes", () => {
  const layout = laidOut([span(1, 2, 0, 0, 9), span(2, 1, 0, 0, null), span(3, 1, 1, 5, 6), span(4, 1, 1, 2, 3)]);
  assert.deepEqual(layout.bands, [
    { link: 1, head: 0, lanes: 2 },
    { link: 2, head: 3, lanes: 1 },
  ]);
  assert.equal(layout.rows, 5);
  assert.deepEqual(layout.byRow.get(2)?.map((each) => each.id), [4, 3]);
});

test("ten thousand lanes share the last row that there is", () => {
  const layout = laidOut(Array.from({ length: 10_000 }, (_, index) => span(index, 1, index, 0, 1)));
  assert.equal(layout.rows, MOST_LANES + 1);
  assert.equal([...layout.byRow.values()].flat().length, 10_000);
});

test("what is innermost is hit, with some slack, and nothing beside it", () => {
  const layout = laidOut([span(1, 1, 0, 0, 10), span(2, 1, 0, 4, 5), span(3, 1, 0, 20, null)]);
  const hit = (time: number) => spanAt(layout, 1, time, 0.1)?.id;
  assert.deepEqual([hit(2), hit(4.5), hit(5.05), hit(5.2), hit(15), hit(1000)], [1, 2, 2, 1, undefined, 3]);
  assert.equal(spanAt(layout, 0, 5, 0.1), undefined);
});

test("columns go from the first that has anything to the last", () => {
  assert.deepEqual(columns([1, 2, 5], [0, 3, 0, 1]), [
    { from: 1, to: 2, count: 3 },
    { from: 2, to: 5, count: 0 },
    { from: 5, to: Infinity, count: 1 },
  ]);
  assert.deepEqual(columns([1, 2], [0, 0, 0]), []);
  assert.deepEqual(columns([1, 2], [4, 0, 0]), [{ from: 0, to: 1, count: 4 }]);
});
