// The levels of log messages, least severe first (RFC 5424, as the protocol names them).

export const LEVELS = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"] as const;

/** How severe a level is; what is no level is as severe as can be, so that nobody misses it. */
export function severityOf(level: string): number {
  const at = LEVELS.indexOf(level as (typeof LEVELS)[number]);
  return at < 0 ? LEVELS.length : at;
}
