import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST, Outbox } from "./queue.ts";

test("messages go on in their order, so many at a time", () => {
  const outbox = new Outbox();
  for (let n = 0; n < 150; n++) outbox.take({ n });
  assert.deepEqual(
    outbox.next().messages,
    Array.from({ length: 100 }, (_, n) => `{"n":${n}}`),
  );
  assert.equal(outbox.next().messages.length, 50);
  assert.ok(outbox.empty);
});

test("what comes too fast is counted and not kept", () => {
  const outbox = new Outbox();
  for (let n = 0; n < 10_000; n++) outbox.take("x");
  const first = outbox.next();
  assert.equal(first.missed, 9_500);
  assert.equal(first.messages.length, 100);
  assert.equal(outbox.next().missed, 0);
});

test("what is too long is told by its length", () => {
  const outbox = new Outbox();
  outbox.take("x".repeat(LONGEST));
  assert.deepEqual(outbox.next(), { messages: [], tooLong: [LONGEST + 2], missed: 0 });
  for (let n = 0; n < 150; n++) outbox.skip(n);
  assert.equal(outbox.next().missed, 50);
});

test("what has no JSON is told as such", () => {
  const outbox = new Outbox();
  const round: { self?: unknown } = {};
  round.self = round;
  outbox.take(round);
  outbox.take(10n);
  outbox.take(undefined);
  for (const each of outbox.next().messages) assert.throws(() => JSON.parse(each));
});

test("characters are bounded, too", () => {
  const outbox = new Outbox();
  const long = "x".repeat(LONGEST - 2);
  for (let n = 0; n < 4; n++) outbox.take(long);
  const { messages, missed } = outbox.next();
  assert.equal(messages.length, 2);
  assert.equal(missed, 2);
  outbox.take("again");
  assert.equal(outbox.next().messages.length, 1);
});
