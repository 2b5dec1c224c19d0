import assert from "node:assert/strict";
import { test } from "node:test";
import { escapedOdd, plain } from "./odd.ts";

test("what cannot be seen is shown by its number", () => {
  assert.equal(plain("a\u202eb\u001b[31m\u{e0041}"), "a⟨U+202E⟩b⟨U+001B⟩[31m⟨U+E0041⟩");
  assert.equal(plain("a\u3164\u{e0101}b"), "a⟨U+3164⟩⟨U+E0101⟩b");
  assert.equal(plain("ä\n\t\r\u{1f600} – שלום"), "ä\n\t\r\u{1f600} – שלום");
});

test("in JSON an escape says it, and it is the same JSON", () => {
  const text = "a\u202e\u200b\u{e0041}b";
  const shown = escapedOdd(JSON.stringify(text));
  assert.match(shown, /^"a\\u202e\\u200b\\udb40\\udc41b"$/);
  assert.equal(JSON.parse(shown), text);
});
