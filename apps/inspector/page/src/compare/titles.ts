import type { TranscriptView } from "../api.ts";

/** How a conversation is told from others. */
export function titled(each: TranscriptView): string {
  const at = each.began.slice(11, 19);
  return `${each.name}${at ? `, ${at}` : ""}${each.live ? ", live" : ""}`;
}
