import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";

const LEAST = 15;
const STEP = 3;

interface SplitProps {
  /** Under this name the chosen place is remembered. */
  name: string;
  /** What the bar between the two changes, for who cannot see it. */
  label: string;
  first: ComponentChildren;
  second: ComponentChildren;
  /** Percent of the first, to begin with. */
  share?: number;
}

/** Two parts side by side, with a bar between them that is moved by pointer or arrows; one above the other where the
 * window is narrow. */
export function Split({ name, label, first, second, share = 50 }: SplitProps) {
  const key = `inspector-split-${name}`;
  const [percent, set] = useState(() => bounded(Number(localStorage.getItem(key)) || share));
  const box = useRef<HTMLDivElement>(null);
  const move = (to: number) => {
    set(bounded(to));
    localStorage.setItem(key, String(bounded(to)));
  };
  const drag = (event: PointerEvent) => {
    if (!(event.currentTarget as HTMLElement).hasPointerCapture(event.pointerId)) return;
    const area = box.current!.getBoundingClientRect();
    move(((event.clientX - area.left) / area.width) * 100);
  };
  const press = (event: KeyboardEvent) => {
    const to = { ArrowLeft: percent - STEP, ArrowRight: percent + STEP, Home: LEAST, End: 100 - LEAST }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  };
  return (
    <div class="split" ref={box} style={{ "--share": `${percent}%` }}>
      <div class="split-part">{first}</div>
      <div
        class="split-bar"
        role="separator"
        tabIndex={0}
        aria-label={label}
        aria-orientation="vertical"
        aria-valuemin={LEAST}
        aria-valuemax={100 - LEAST}
        aria-valuenow={Math.round(percent)}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
        onKeyDown={press}
        onDblClick={() => move(share)}
      />
      <div class="split-part">{second}</div>
    </div>
  );
}

const bounded = (percent: number) => Math.min(Math.max(percent, LEAST), 100 - LEAST);
