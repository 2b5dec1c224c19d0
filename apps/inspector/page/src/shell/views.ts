// The views there are. Each folder says in its `view.ts` what it shows; its code is loaded when it is first seen.

import type { ComponentType } from "preact";
import type { ServerView, TranscriptView } from "../api.ts";
import type { IconName } from "../components/Icon.tsx";

export interface ViewProps {
  /** The server that is looked at; null in a view of an opened capture or of everything. */
  server: ServerView | null;
  /** The conversation: the server's newest one, or the capture; null where there is none. */
  transcript: TranscriptView | null;
  /** What follows the view in the address. */
  rest: string[];
  query: URLSearchParams;
  /** Show another place of this view, as a deep link. `replace`: without a step in the history. */
  open: (rest: string[], query?: Record<string, string>, replace?: boolean) => void;
  /** Show any address in this pane; made by `path`. */
  go: (address: string) => void;
}

export interface View {
  id: string;
  title: string;
  icon: IconName;
  /** "server": needs one that is connected to be of use; "transcript": a server's or a capture's conversation; "all":
   * of everything. */
  scope: "server" | "transcript" | "all";
  /** Its place among the tabs. */
  order: number;
  load: () => Promise<{ default: ComponentType<ViewProps> }>;
  /** A short text beside the title, or "". It may read signals. */
  badge?: (server: ServerView | null, transcript: TranscriptView | null) => string;
  /** Whether it is of use here; always, if absent. */
  when?: (server: ServerView | null, transcript: TranscriptView | null) => boolean;
}

const found = import.meta.glob<{ views: View[] }>("../*/view.ts", { eager: true });

export const views: View[] = Object.values(found)
  .flatMap((module) => module.views)
  .sort((a, b) => a.order - b.order);

/** The tabs of a server, of a capture, or of everything. */
export function tabsOf(kind: "s" | "t" | "a", server: ServerView | null, transcript: TranscriptView | null): View[] {
  const scopes = { s: ["server", "transcript"], t: ["transcript"], a: ["all"] }[kind];
  return views.filter((each) => scopes.includes(each.scope) && (each.when?.(server, transcript) ?? true));
}
