// The steps of logins as they are shown: joined as they come, parted into logins, each between two parties.

import type { LoginParty, LoginStepView, LoginView } from "../api.ts";

/** Those who speak, from left to right. */
export const PARTIES: readonly { party: LoginParty; text: string }[] = [
  { party: "person", text: "You" },
  { party: "client", text: "Client" },
  { party: "server", text: "Server" },
  { party: "authority", text: "Authorization server" },
];

/** With these a login is over. */
const LAST = ["kept", "failed", "loaded"];

/** What is known, with what an event tells: the steps that are other or new; none where all were forgotten. */
export function joined(known: readonly LoginStepView[], news: LoginView): LoginStepView[] {
  if (!news.steps.length) return [];
  const steps = new Map([...known, ...news.steps].map((each) => [each.id, each]));
  return [...steps.values()].sort((a, b) => a.id - b.id);
}

/** The logins one after the other, each with its steps. */
export function logins(steps: readonly LoginStepView[]): LoginStepView[][] {
  const found: LoginStepView[][] = [];
  steps.forEach((step, at) => {
    const before = steps[at - 1];
    if (!before || LAST.includes(before.kind)) found.push([]);
    found.at(-1)!.push(step);
  });
  return found;
}

/** Where the arrow of a step stands: the columns (from 1) of its two ends, and whether it points left. */
export function arrow(step: LoginStepView): { from: number; to: number; left: boolean } {
  const place = (party: LoginParty) => PARTIES.findIndex((each) => each.party === party) + 1;
  const [a, b] = [place(step.source), place(step.target)];
  return { from: Math.min(a, b), to: Math.max(a, b), left: b < a };
}

/** Who says something to whom, in words. */
export function between(step: LoginStepView): string {
  const name = (party: LoginParty) => PARTIES.find((each) => each.party === party)!.text.toLowerCase();
  return step.source === step.target ? `${name(step.source)} decides` : `${name(step.source)} to ${name(step.target)}`;
}

const HELP: Record<string, string> = {
  challenge: "The server refused, and did not say where to log in. It has to name its metadata in WWW-Authenticate.",
  "resource-metadata":
    "The server has to have its metadata at this address, with its own URL as the resource, and name who gives out its tokens.",
  "server-metadata":
    "What the authorization server says of itself has to fit the address that it was asked at. Mend it there, or have the server name another one.",
  registration:
    "The authorization server does not take this client. Let it register clients by itself, or put a token of your own into the headers of the server's settings.",
  authorization: "Nobody agreed. Log in once more, and go on in the browser.",
  redirect: "The browser came back without leave. What the authorization server said is in the documents; then log in once more.",
  token: "The authorization server gave no token: its answer says why. Mend that there, and log in once more.",
  refresh: "The tokens can't be renewed: forget the login, and log in once more.",
  failed: "What went wrong is in the steps before this one. Mend it, and log in once more.",
};

/** What to do about a step; "" where it went as it should, or the next place is tried. */
export function help(step: LoginStepView): string {
  return step.state === "refused" || step.state === "failed" ? (HELP[step.kind] ?? "Mend it, and log in once more.") : "";
}
