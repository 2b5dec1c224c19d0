import assert from "node:assert/strict";
import { test } from "node:test";
import { lookedAt } from "./address.ts";

test("the host is what stands out", () => {
  const looked = lookedAt("https://login.example.com/a?next=https://evil.example");
  assert.deepEqual([looked.before, looked.host, looked.after], ["https://", "login.example.com", "/a?next=https://evil.example"]);
  assert.deepEqual(looked.warnings, []);
});

test("a name before the @ is no host", () => {
  const looked = lookedAt("https://bank.example@evil.example/x");
  assert.equal(looked.host, "evil.example");
  assert.equal(looked.before, "https://bank.example@");
  assert.match(looked.warnings.join(), /evil\.example/);
  const same = lookedAt("https://evil.example:secret@evil.example/x");
  assert.equal(same.before, "https://evil.example:secret@");
});

test("letters of other alphabets are told", () => {
  const looked = lookedAt("https://аpple.com/");
  assert.match(looked.host, /^xn--/);
  assert.match(looked.warnings.join(), /other alphabets/);
});

test("numbers, open connections and other schemes are told", () => {
  assert.match(lookedAt("https://192.0.2.7/").warnings.join(), /no name/);
  assert.match(lookedAt("http://example.com/").warnings.join(), /not encrypted/);
  assert.deepEqual(lookedAt("http://127.0.0.1:8000/").warnings, []);
  for (const bad of ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "nothing"])
    assert.equal(lookedAt(bad).usable, false, bad);
});
