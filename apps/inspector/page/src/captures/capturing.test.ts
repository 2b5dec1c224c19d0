import assert from "node:assert/strict";
import { test } from "node:test";
import { exportAddress, fileName } from "./capturing.ts";

test("files have names that every system takes", () => {
  assert.equal(fileName("my server: /a/b", "jsonl"), "my-server-a-b.jsonl");
  assert.equal(fileName("../../etc/passwd", "har"), "etc-passwd.har");
  assert.equal(fileName("talk.jsonl", "otlp"), "talk.otlp.json");
  assert.equal(fileName("\u202e...", "har"), "capture.har");
  assert.equal(fileName("x".repeat(500), "har").length, 84);
});

test("an export is without secrets unless asked otherwise", () => {
  assert.equal(exportAddress("t/1", "har", true), "/api/transcripts/t%2F1/export?format=har&redact=yes");
  assert.match(exportAddress("t1", "jsonl", false), /redact=no/);
});
