import assert from "node:assert/strict";
import { test } from "node:test";
import { Blocks, type Slice } from "./blocks.ts";

interface Asked {
  start: number;
  signal: AbortSignal;
  give: (slice: Slice<number>) => void;
  fail: (problem: Error) => void;
}

function made(total = 0, most = 60) {
  const asked: Asked[] = [];
  let changes = 0;
  const blocks = new Blocks<number>(
    (start, _limit, signal) => new Promise((give, fail) => asked.push({ start, signal, give, fail })),
    () => (changes += 1),
    total,
    { size: 10, most },
  );
  const numbers = (start: number, count = 10) => Array.from({ length: count }, (_, index) => start + index);
  return { blocks, asked, numbers, changes: () => changes };
}

const settled = () => new Promise((done) => setTimeout(done));

test("what is wanted is fetched once, block by block", async () => {
  const { blocks, asked, numbers, changes } = made(1_000_000);
  blocks.want(995, 1004);
  blocks.want(995, 1004);
  assert.deepEqual(asked.map((each) => each.start), [990, 1000]);
  asked[1]!.give({ items: numbers(1000), total: 1_000_000 });
  await settled();
  assert.equal(blocks.at(1004), 1004);
  assert.equal(blocks.at(995), undefined);
  assert.equal(changes(), 1);
});

test("a fetch that nobody waits for is given up, and its answer forgotten", async () => {
  const { blocks, asked, numbers } = made(1000);
  blocks.want(0, 9);
  blocks.want(500, 509);
  assert.ok(asked[0]!.signal.aborted);
  asked[0]!.give({ items: numbers(0), total: 7 });
  await settled();
  assert.equal(blocks.at(0), undefined);
  assert.equal(blocks.total, 1000);
});

test("no more blocks are kept than asked for, the oldest go first", async () => {
  const { blocks, asked, numbers } = made(100, 2);
  for (const start of [0, 50, 90]) {
    blocks.want(start, start + 9);
    asked.at(-1)!.give({ items: numbers(start), total: 100 });
    await settled();
  }
  assert.deepEqual([blocks.at(0), blocks.at(50), blocks.at(90)], [undefined, 50, 90]);
});

test("what is added at the end is there without a fetch when its block is here", async () => {
  const { blocks, asked } = made(0);
  blocks.append([0, 1, 2]);
  blocks.want(0, 2);
  assert.equal(asked.length, 0);
  assert.deepEqual([blocks.total, blocks.at(2)], [3, 2]);
  blocks.append([3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual([blocks.total, blocks.at(10)], [11, 10]);
});

test("what is added after a block that is not here leaves a hole that is fetched", async () => {
  const { blocks, asked, numbers } = made(15);
  blocks.append([15, 16]);
  assert.deepEqual([blocks.total, blocks.at(15)], [17, undefined]);
  blocks.want(10, 16);
  asked[0]!.give({ items: numbers(10, 7), total: 17 });
  await settled();
  assert.equal(blocks.at(16), 16);
});

test("a block that came while more was added is fetched again", async () => {
  const { blocks, asked, numbers } = made(12);
  blocks.want(10, 11);
  blocks.append([12]);
  asked[0]!.give({ items: numbers(10, 2), total: 12 });
  await settled();
  assert.equal(blocks.at(12), undefined);
  blocks.want(10, 12);
  assert.equal(asked.length, 2);
});

test("entries are replaced where they are", async () => {
  const { blocks, changes } = made(0);
  blocks.append([1, 2, 3]);
  const before = changes();
  blocks.replace((item) => (item === 2 ? 20 : undefined));
  assert.deepEqual([...blocks.here()], [1, 20, 3]);
  blocks.replace(() => undefined);
  assert.equal(changes(), before + 1);
});

test("what was missed is a hole, and asked for", async () => {
  const { blocks, asked, numbers } = made(0);
  blocks.append([0, 1]);
  blocks.grow(25);
  blocks.want(20, 24);
  asked[0]!.give({ items: numbers(20, 5), total: 25 });
  await settled();
  assert.deepEqual([blocks.total, blocks.at(24), blocks.at(5)], [25, 24, undefined]);
  void blocks.open(24);
  assert.equal(asked[1]!.start, 20);
});

test("what was added while a block was on its way is asked for, if it is looked at", async () => {
  const { blocks, asked, numbers } = made(5);
  blocks.want(0, 9);
  blocks.grow(10);
  asked[0]!.give({ items: numbers(0, 5), total: 5 });
  await settled();
  assert.deepEqual([blocks.total, asked.length], [10, 2]);
  asked[1]!.give({ items: numbers(0), total: 10 });
  await settled();
  assert.deepEqual([blocks.at(9), asked.length], [9, 2]);
});

test("a failure is said, and gone with the next success", async () => {
  const { blocks, asked, numbers } = made(10);
  blocks.want(0, 9);
  asked[0]!.fail(new Error("no disk"));
  await settled();
  assert.match(String(blocks.problem), /no disk/);
  blocks.want(0, 9);
  asked[1]!.give({ items: numbers(0), total: 10 });
  await settled();
  assert.equal(blocks.problem, null);
});
