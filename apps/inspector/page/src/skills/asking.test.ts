import assert from "node:assert/strict";
import { test } from "node:test";
import { addressIn } from "./asking.ts";

test("a path is inside the directory of its skill, and an address is taken as it is", () => {
  const skill = "skill://acme/pdf/SKILL.md";
  assert.equal(addressIn(skill, "a/b.md"), "skill://acme/pdf/a/b.md");
  assert.equal(addressIn(skill, " /a.md "), "skill://acme/pdf/a.md");
  assert.equal(addressIn(skill, "github://a/b"), "github://a/b");
});
