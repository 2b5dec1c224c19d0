// The icon that a server gives to a thing, drawn from its own bytes. Which of several it is, if any, the Inspector says:
// nothing is loaded from elsewhere, and nothing is drawn that may hold a program.

import type { JsonObject } from "../api.ts";
import { isObject } from "../forms/schema.ts";

interface OwnIconProps {
  of: JsonObject;
  at: number | null | undefined;
}

export function OwnIcon({ of, at }: OwnIconProps) {
  const icons = of["icons"];
  const icon = typeof at === "number" && Array.isArray(icons) ? icons[at] : undefined;
  const bytes = isObject(icon) && typeof icon["src"] === "string" ? icon["src"] : "";
  if (!/^data:image\//i.test(bytes)) return null;
  return <img class="own-icon" src={bytes} alt="" width="20" height="20" decoding="async" />;
}
