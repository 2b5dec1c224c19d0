// The form of a thing and the links that lead to it with values.

import { useEffect, useState } from "preact/hooks";
import { errorView, type ErrorView, type JsonObject } from "../api.ts";
import { valuesIn } from "./links.ts";

interface Linked {
  /** Whether what stands in the form came from a link. */
  filled: boolean;
  error: ErrorView | null;
}

/** Put the values of a link into a form, once: `given` are those of the address, `taken` takes them out of it. */
export function useLink(given: string | null, fill: (values: JsonObject) => void, taken: () => void): Linked {
  const [linked, set] = useState<Linked>({ filled: false, error: null });
  useEffect(() => {
    if (given === null) return;
    try {
      fill(valuesIn(given));
      set({ filled: true, error: null });
    } catch (problem) {
      set({ filled: false, error: errorView(problem) });
    }
    taken();
  }, [given]);
  return linked;
}

