// Of which servers a step of a login waits for the person, as far as the page was told.

import { signal } from "@preact/signals";
import { hear } from "../store.ts";

export const held = signal<ReadonlySet<string>>(new Set());

/** Whether a step of the login of a server waits. */
export function holds(server: string, waiting: boolean): void {
  if (held.value.has(server) === waiting) return;
  const next = new Set(held.value);
  if (waiting) next.add(server);
  else next.delete(server);
  held.value = next;
}

hear("login", (login) => holds(login.server, login.waiting));
hear("reset", () => (held.value = new Set()));
