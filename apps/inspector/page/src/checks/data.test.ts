import assert from "node:assert/strict";
import { test } from "node:test";
import { namesIn } from "./data.ts";

test("names of checks are found, those of other tables are not", () => {
  const text = `
# [[check]] name = "no"
[server.a]
name = "not this"
[[check]]
name = "buy \\"tea\\""
call = { tool = "buy" }
  [[ check ]]
  name = 'a\\b'
[check.expect]
name = "nor this"
`;
  assert.deepEqual(namesIn(text), ['buy "tea"', "a\\b"]);
  assert.deepEqual(namesIn(""), []);
});
