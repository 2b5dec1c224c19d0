// Light or dark: as the system has it, unless the person chose.

import { signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const KEY = "inspector-theme";

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

export const theme = signal<Theme>(stored());

/** Show what was chosen. */
export function applyTheme(): void {
  document.documentElement.dataset["theme"] = theme.value;
}

/** Choose, and remember it. */
export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  localStorage.setItem(KEY, chosen);
  applyTheme();
}

/** The choice after the one that is shown. */
export function nextTheme(): Theme {
  return ({ system: "light", light: "dark", dark: "system" } as const)[theme.value];
}
