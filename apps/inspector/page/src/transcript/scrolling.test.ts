import assert from "node:assert/strict";
import { test } from "node:test";
import { Scrolling, TALLEST } from "./scrolling.ts";

function made(count: number, view = 500): Scrolling {
  const list = new Scrolling(25);
  list.resize(count, view);
  return list;
}

test("a short list and its bar are one", () => {
  const list = made(1000);
  assert.equal(list.bar, 25_000);
  list.moved(250);
  assert.deepEqual([list.first, list.last, list.top, list.barTop], [10, 29, 250, 250]);
});

test("the bar of a million rows is as long as browsers can, and reaches every row", () => {
  const list = made(1_000_000);
  assert.equal(list.bar, TALLEST);
  list.moved(TALLEST - 500);
  assert.equal(list.last, 999_999);
  assert.ok(list.atEnd);
  list.moved(0);
  assert.equal(list.first, 0);
});

test("the wheel moves a long list by pixels, dragging the bar in proportion", () => {
  const list = made(1_000_000);
  list.moved(100);
  assert.equal(list.top, 100);
  list.moved(TALLEST / 2);
  assert.ok(Math.abs(list.first - 500_000) < 100);
  list.settled(list.barTop);
  const before = list.top;
  list.moved(list.barTop + 75);
  assert.equal(list.top, before + 75);
});

test("by the wheel alone one gets to both ends", () => {
  const list = made(400_000);
  list.toEnd();
  list.settled(list.barTop);
  for (let turn = 0; turn < 200; turn += 1) {
    list.moved(Math.max(list.barTop - 400, 0));
    list.settled(list.barTop);
  }
  assert.equal(list.top, 400_000 * 25 - 500 - 200 * 400);
});

test("an entry is brought into view with the least movement", () => {
  const list = made(1000);
  list.reveal(5);
  assert.equal(list.top, 0);
  list.reveal(20);
  assert.deepEqual([list.top, list.last], [25, 20]);
  list.reveal(900, "center");
  assert.ok(list.first < 900 && list.last > 900);
  list.reveal(0);
  assert.equal(list.top, 0);
});

test("a list that became shorter stands at its end, an empty one nowhere", () => {
  const list = made(1000);
  list.toEnd();
  list.resize(10, 500);
  assert.deepEqual([list.top, list.first, list.last], [0, 0, 9]);
  list.resize(0, 500);
  assert.deepEqual([list.last, list.barTop], [-1, 0]);
});
