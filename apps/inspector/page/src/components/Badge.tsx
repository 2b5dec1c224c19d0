import type { ComponentChildren } from "preact";
import type { CallState, FindingView, ServerState, Severity } from "../api.ts";

export type Tone = "plain" | "ok" | "warning" | "error" | "ask" | "accent";

interface BadgeProps {
  children: ComponentChildren;
  tone?: Tone;
  title?: string | undefined;
}

export function Badge({ children, tone = "plain", title }: BadgeProps) {
  return (
    <span class="badge" data-tone={tone} title={title}>
      {children}
    </span>
  );
}

const SERVER: Record<ServerState, [Tone, string]> = {
  idle: ["plain", "not connected"],
  connecting: ["ask", "connecting"],
  ready: ["ok", "connected"],
  renewing: ["ask", "renewing"],
  lost: ["warning", "lost"],
  failed: ["error", "failed"],
  login: ["ask", "needs a login"],
};

export function StateBadge({ state }: { state: ServerState }) {
  const [tone, text] = SERVER[state];
  return <Badge tone={tone}>{text}</Badge>;
}

/** The same as a dot, with its words for who cannot see it. */
export function StateDot({ state }: { state: ServerState }) {
  const [tone, text] = SERVER[state];
  return <span class="dot" data-tone={tone} role="img" aria-label={text} title={text} />;
}

const CALL: Record<CallState, Tone> = { running: "ask", done: "ok", failed: "error", cancelled: "warning" };

export function CallBadge({ state }: { state: CallState }) {
  return <Badge tone={CALL[state]}>{state}</Badge>;
}

const SEVERITY: Record<Severity, Tone> = { error: "error", warning: "warning", hint: "ask" };

export function SeverityBadge({ severity }: { severity: Severity }) {
  return <Badge tone={SEVERITY[severity]}>{severity}</Badge>;
}

/** The worst of some findings; nothing where there are none. */
export function FindingsBadge({ findings }: { findings: FindingView[] | undefined }) {
  if (!findings?.length) return null;
  const worst = (["error", "warning", "hint"] as const).find((each) => findings.some((one) => one.severity === each));
  const said = findings.map((each) => each.what).join("\n");
  return (
    <Badge tone={SEVERITY[worst ?? "hint"]} title={said}>
      {findings.length === 1 ? "1 note" : `${findings.length} notes`}
    </Badge>
  );
}
