// What the page asks of a server's skills.

import { get, serverPath, type SkillReadView, type SkillListView, type SkillVerdictView, type SkillView } from "../api.ts";

const asked = (values: Record<string, string>) => `?${new URLSearchParams(values)}`;

export const skillsOf = (server: string) => get<SkillListView>(serverPath(server, "skills"));
export const entryOf = (server: string, skill: string) =>
  get<SkillView>(serverPath(server, "skills", "entry") + asked({ skill }));
export const fileOf = (server: string, skill: string, uri: string) =>
  get<SkillReadView>(serverPath(server, "skills", "file") + asked({ skill, uri }));
export const verdictOf = (server: string, skill: string) =>
  get<SkillVerdictView>(serverPath(server, "skills", "verdict") + asked({ skill }));

/** The address that a person means: one that is whole, or a path inside the directory of a skill. */
export function addressIn(skill: string, typed: string): string {
  const text = typed.trim();
  return /^[a-z][a-z0-9+.-]*:/i.test(text) ? text : skill.replace(/SKILL\.md$/, "") + text.replace(/^\/+/, "");
}
