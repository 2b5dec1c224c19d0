// Short notes about what was just done, or failed: they stay until they are closed if something failed.

import { signal } from "@preact/signals";
import type { ErrorView } from "../api.ts";
import { IconButton } from "../components/Button.tsx";

const STAYS = 4000;

interface Toast {
  id: number;
  text: string;
  failed: boolean;
}

const toasts = signal<Toast[]>([]);
let next = 1;

/** Tell the person that something was done (a text) or failed (an error). */
export function tell(what: string | ErrorView): void {
  const failed = typeof what !== "string";
  const toast = { id: next++, text: failed ? what.message : what, failed };
  toasts.value = [...toasts.value.slice(-3), toast];
  if (!failed) window.setTimeout(() => close(toast.id), STAYS);
}

function close(id: number): void {
  toasts.value = toasts.value.filter((each) => each.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="log" aria-live="polite" aria-label="Notes">
      {toasts.value.map((each) => (
        <div key={each.id} class="toast" data-tone={each.failed ? "error" : "ok"}>
          <span>{each.text}</span>
          <IconButton icon="close" label="Close this note" onClick={() => close(each.id)} />
        </div>
      ))}
    </div>
  );
}
