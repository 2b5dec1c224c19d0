import assert from "node:assert/strict";
import { test } from "node:test";
import { commandLine, lines, pairLines, pairs, words } from "./words.ts";

test("a line is read as a shell reads it", () => {
  assert.deepEqual(words(`python -m "my server" --x='a b' c\\ d "" 'it''s' "q\\"\\x"`), [
    "python",
    "-m",
    "my server",
    "--x=a b",
    "c d",
    "",
    "its",
    'q"\\x',
  ]);
  assert.deepEqual(words("  "), []);
});

test("what is written is read as the same", () => {
  for (const all of [["a", "b c", "it's", "", "$HOME", '"', "\\", "ä"], ["uvx", "some@1.0", "--path=/tmp/x"]])
    assert.deepEqual(words(commandLine(all)), all);
  assert.equal(commandLine(["uvx", "some@1.0"]), "uvx some@1.0");
});

test("lines of pairs are read and written", () => {
  assert.deepEqual(pairs("A=1=2\n\nnothing\nB= x", "="), { A: "1=2", B: " x" });
  assert.deepEqual(pairs("Authorization: Bearer a:b\n: no", ":"), { Authorization: "Bearer a:b" });
  assert.equal(pairLines({ A: "1", B: "" }, "="), "A=1\nB=");
  assert.deepEqual(pairs(pairLines({ X: "y: z" }, ":"), ":"), { X: "y: z" });
  assert.deepEqual(lines(" a \n\n b"), ["a", "b"]);
});
