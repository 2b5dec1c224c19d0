// Tasks in both vocabularies: of revision 2025-11-25, and of the tasks extension.

import type { Json, JsonObject } from "../api.ts";

export interface Task {
  id: string;
  status: string;
  message: string;
  created: string;
  updated: string;
  /** Milliseconds for which it is kept; null for as long as there is. */
  ttl: number | null;
  /** Milliseconds between two looks, as the server has it; 0 where it says nothing. */
  poll: number;
  whole: JsonObject;
}

const ENDED = ["completed", "failed", "cancelled"];

export const hasEnded = (task: Task) => ENDED.includes(task.status);

/** A task as it is on the wire; null for what has no id. */
export function taskOf(whole: JsonObject): Task | null {
  const id = whole["taskId"];
  if (typeof id !== "string") return null;
  return {
    id,
    status: text(whole["status"]),
    message: text(whole["statusMessage"]),
    created: text(whole["createdAt"]),
    updated: text(whole["lastUpdatedAt"]),
    ttl: number(whole["ttlMs"] ?? whole["ttl"]),
    poll: number(whole["pollIntervalMs"] ?? whole["pollInterval"]) ?? 0,
    whole,
  };
}

const text = (value: Json | undefined) => (typeof value === "string" ? value : "");
const number = (value: Json | undefined) => (typeof value === "number" && Number.isFinite(value) ? value : null);

const LEAST = 500;
const MOST = 10_000;
const USUAL = 2000;

/** Milliseconds until the list should be looked at again; 0 where nothing goes on. */
export function nextLook(tasks: readonly Task[]): number {
  const going = tasks.filter((each) => !hasEnded(each));
  if (!going.length) return 0;
  return Math.min(Math.max(Math.min(...going.map((each) => each.poll || USUAL)), LEAST), MOST);
}
