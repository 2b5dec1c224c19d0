import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./Icon.tsx";

/** There is nothing to see here: why, and what to do. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}
