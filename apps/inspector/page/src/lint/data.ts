// All that is wrong in a conversation, rule by rule, as the Inspector sums it up.

import { get, transcriptPath, type RuleView, type Severity } from "../api.ts";

export type { RuleView };

export const loadRules = (transcript: string) => get<{ rules: RuleView[] }>(transcriptPath(transcript, "findings"));

const ORDER: readonly Severity[] = ["error", "warning", "hint"];

/** The worst first, then the most frequent. */
export function ordered(rules: readonly RuleView[]): RuleView[] {
  return rules.toSorted(
    (a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity) || b.count - a.count || a.rule.localeCompare(b.rule),
  );
}
