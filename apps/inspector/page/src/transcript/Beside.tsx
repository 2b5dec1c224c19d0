// A list, and what is chosen in it beside it. The list stays the same whether anything is chosen or not, and so does who
// has the focus in it.

import type { ComponentChildren } from "preact";
import { Split } from "../components/Split.tsx";

interface BesideProps {
  /** Under this name the chosen width is remembered. */
  name: string;
  /** Percent of the list, to begin with. */
  share: number;
  list: ComponentChildren;
  /** What is chosen; null for nothing. */
  chosen: ComponentChildren | null;
}

export function Beside({ name, share, list, chosen }: BesideProps) {
  return (
    <div class="beside" data-alone={chosen === null}>
      <Split name={name} label="Width of the list" share={share} first={list} second={chosen} />
    </div>
  );
}
