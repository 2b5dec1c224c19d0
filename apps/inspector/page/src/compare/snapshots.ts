// Surfaces that were taken while this page was open: what a server offered, at a moment.

import { signal } from "@preact/signals";
import { post, serverPath, type JsonObject, type ServerView } from "../api.ts";

export interface Snapshot {
  id: string;
  /** The server's name, and when. */
  title: string;
}

const KEY = "inspector.snapshots";
const MOST = 100;

export const snapshots = signal<readonly Snapshot[]>(read());

/** Have the Inspector take down what a server offers now. Throws what the request throws. */
export async function takeSnapshot(server: ServerView): Promise<Snapshot> {
  const taken = await post<{ id: string; surface: JsonObject }>(serverPath(server.id, "snapshot"));
  const at = new Date().toTimeString().slice(0, 8);
  const snapshot = { id: taken.id, title: `${server.name}${server.revision ? ` (${server.revision})` : ""}, ${at}` };
  snapshots.value = [...snapshots.value.filter((each) => each.id !== snapshot.id), snapshot].slice(-MOST);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(snapshots.value));
  } catch {
    // A browser that keeps nothing: they are there as long as the page is.
  }
  return snapshot;
}

function read(): Snapshot[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isSnapshot) : [];
  } catch {
    return [];
  }
}

function isSnapshot(value: unknown): value is Snapshot {
  return typeof value === "object" && value !== null && "id" in value && "title" in value && typeof value.title === "string";
}
