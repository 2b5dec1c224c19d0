import assert from "node:assert/strict";
import { test } from "node:test";
import { completed, has, hints, toggled, withField, words } from "./query.ts";

test("words are as they stand there, quotes keep theirs together", () => {
  assert.deepEqual(words('is:error  -name:"a b" "two words" x'), ["is:error", '-name:"a b"', '"two words"', "x"]);
});

test("a word is put in and taken out, the others stay", () => {
  assert.equal(toggled("tea", "is:error"), "tea is:error");
  assert.equal(toggled("tea is:error", "is:error"), "tea");
  assert.ok(has("-is:error is:http", "is:http"));
  assert.ok(!has("-is:error", "is:error"));
});

test("a field has one value", () => {
  assert.equal(withField("link:1 tea", "link", "2"), "tea link:2");
  assert.equal(withField("link:1 tea", "link", ""), "tea");
  assert.equal(withField("", "name", 'a "b'), 'name:"a b"');
});

test("hints fit the word at the caret, with and without a minus", () => {
  assert.deepEqual(hints("tea is:e", 8).map((each) => each.word), ["is:error"]);
  assert.deepEqual(hints("-is:h", 5).map((each) => each.word), ["is:http"]);
  assert.deepEqual(hints("is:error", 8), []);
  assert.equal(hints("tea ", 4).length, 8);
});

test("a hint takes the place of its word, and the rest stays", () => {
  assert.deepEqual(completed("a -is:e b", 7, "is:error"), { query: "a -is:error b", caret: 12 });
  assert.deepEqual(completed("met", 3, "method:"), { query: "method:", caret: 7 });
});
