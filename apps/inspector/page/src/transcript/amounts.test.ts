import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, counted, duration, since } from "./amounts.ts";
import { oneLine, visible } from "./shown.ts";

test("durations have three digits and a unit", () => {
  const said = [0, 1e-6, 0.0000123, 0.0009999, 0.0123, 0.9999, 1, 12.34, 99.97, 3599.6, 7322].map(duration);
  assert.deepEqual(said, [
    "0 ms", "1.00 µs", "12.3 µs", "1.00 ms", "12.3 ms", "1.00 s", "1.00 s", "12.3 s", "1 min 40 s", "1 h 0 min", "2 h 2 min",
  ]);
  assert.equal(duration(-0.5), "-500 ms");
});

test("times since the beginning grow with what they say", () => {
  assert.deepEqual([0.01234, 12.3456, 61, 3723.45].map(since), ["0.0123", "12.346", "1:01.0", "1:02:03.4"]);
});

test("bytes and counts", () => {
  assert.deepEqual([0, 1023, 1024, 15_000, 5e9].map(bytes), ["0 B", "1023 B", "1.00 KiB", "14.6 KiB", "4.66 GiB"]);
  assert.deepEqual([counted(1, "record"), counted(10_000, "record"), counted(2, "entry", "entries")], ["1 record", "10,000 records", "2 entries"]);
});

test("what would not be seen is written out", () => {
  assert.equal(visible("a\u202eb\u001b[31mc\ttab\nline"), "a\\u{202e}b\\u{1b}[31mc\ttab\nline");
  assert.equal(visible("\ud800 half, 😀 whole"), "\\u{d800} half, 😀 whole");
  assert.equal(oneLine("a\r\nb\tc"), "a⏎ b c");
});
