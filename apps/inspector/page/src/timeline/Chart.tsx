// The spans as bars. Wheel: up and down; with Ctrl, or two fingers: zoom; sideways or dragging: along time. Keys: + and -
// zoom, the arrows go along, Shift with arrows from span to span, 0 shows all, Enter leads to the record.

import { useEffect, useId, useLayoutEffect, useMemo, useReducer, useRef } from "preact/hooks";
import { IconButton } from "../components/Button.tsx";
import { theme } from "../shell/theme.ts";
import { duration, since } from "../transcript/amounts.ts";
import { spoken, type Span, type TimelineView } from "./data.ts";
import { AXIS, colours, draw, ROW } from "./drawing.ts";
import { laidOut, spanAt } from "./lanes.ts";
import { panned, revealing, zoomed, type Window } from "./scale.ts";

interface ChartProps {
  spans: readonly Span[];
  timeline: TimelineView;
  chosen: number;
  choose: (id: number) => void;
  /** Go where the span began. */
  enter: (span: Span) => void;
}

const SLACK = 4;
const SHARE = 0.15;
const ZOOM = 1.3;

export function Chart({ spans, timeline, chosen, choose, enter }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [drawn, again] = useReducer((times: number) => times + 1, 0);
  const id = useId();
  const layout = useMemo(() => laidOut(spans), [spans]);
  const all = useMemo(() => wholeOf(timeline), [timeline]);
  // Null: all of it, also while there is more of it.
  const seen = useRef<Window | null>(null);
  const drag = useRef<{ x: number; y: number; moved: boolean } | null>(null);
  const window_ = () => seen.current ?? all;
  const look = (next: Window) => {
    seen.current = next.end - next.start >= (all.end - all.start) * 0.999 ? null : next;
    again(0);
  };

  useLayoutEffect(() => {
    const at = box.current!;
    const observer = new ResizeObserver(() => again(0));
    observer.observe(at);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => again(0);
    dark.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", redraw);
    };
  }, []);

  useEffect(() => {
    const at = box.current;
    if (!at || !canvas.current) return;
    draw(canvas.current, {
      layout,
      seen: window_(),
      top: at.scrollTop,
      width: at.clientWidth,
      height: at.clientHeight,
      now: timeline.seconds,
      chosen,
      colours: colours(at),
    });
  }, [drawn, layout, all, chosen, theme.value]);

  const timeAt = (x: number) => {
    const { start, end } = window_();
    return start + (x / (box.current?.clientWidth || 1)) * (end - start);
  };
  const spanUnder = (event: MouseEvent) => {
    const at = box.current!;
    const area = at.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top - AXIS + at.scrollTop) / ROW);
    const { start, end } = window_();
    return spanAt(layout, row, timeAt(event.clientX - area.left), (SLACK / at.clientWidth) * (end - start));
  };
  const reveal = (span: Span) => {
    const at = box.current!;
    const row = layout.rowOf(span);
    const y = AXIS + row * ROW;
    if (y < at.scrollTop + AXIS) at.scrollTop = y - AXIS - ROW;
    else if (y + ROW > at.scrollTop + at.clientHeight) at.scrollTop = y + ROW * 2 - at.clientHeight;
    look(revealing(window_(), all, span.start, span.end ?? timeline.seconds));
  };
  useEffect(() => {
    const span = spans.find((each) => each.id === chosen);
    if (span) reveal(span);
  }, [chosen]);

  const wheel = (event: WheelEvent) => {
    const at = box.current!;
    const area = at.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const factor = Math.exp(Math.min(Math.max(event.deltaY, -120), 120) * 0.004);
      look(zoomed(window_(), all, factor, timeAt(event.clientX - area.left)));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const { start, end } = window_();
      look(panned(window_(), all, ((event.deltaX || event.deltaY) / at.clientWidth) * (end - start)));
    }
  };
  const move = (event: PointerEvent) => {
    const from = drag.current;
    if (!from) return;
    const at = box.current!;
    const byX = event.clientX - from.x;
    const byY = event.clientY - from.y;
    if (!from.moved && Math.hypot(byX, byY) < SLACK) return;
    from.moved = true;
    from.x = event.clientX;
    from.y = event.clientY;
    at.scrollTop -= byY;
    const { start, end } = window_();
    look(panned(window_(), all, (-byX / at.clientWidth) * (end - start)));
  };
  const released = (event: PointerEvent) => {
    const from = drag.current;
    drag.current = null;
    if (from && !from.moved) choose(spanUnder(event)?.id ?? 0);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { start, end } = window_();
    const length = end - start;
    const middle = middleOf(spans, chosen, { start, end });
    const deeds: Record<string, () => void> = {
      "+": () => look(zoomed({ start, end }, all, 1 / ZOOM, middle)),
      "=": () => look(zoomed({ start, end }, all, 1 / ZOOM, middle)),
      "-": () => look(zoomed({ start, end }, all, ZOOM, middle)),
      "0": () => look(all),
      Home: () => look({ start: all.start, end: all.start + length }),
      End: () => look({ start: all.end - length, end: all.end }),
      ArrowLeft: () => (event.shiftKey ? step(-1) : look(panned({ start, end }, all, -length * SHARE))),
      ArrowRight: () => (event.shiftKey ? step(1) : look(panned({ start, end }, all, length * SHARE))),
      ArrowUp: () => step(-1),
      ArrowDown: () => step(1),
      Escape: () => choose(0),
      Enter: () => {
        const span = spans.find((each) => each.id === chosen);
        if (span) enter(span);
      },
    };
    const deed = deeds[event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  };
  const step = (by: number) => {
    if (!spans.length) return;
    const at = spans.findIndex((each) => each.id === chosen);
    const to = spans[at < 0 ? (by > 0 ? 0 : spans.length - 1) : Math.min(Math.max(at + by, 0), spans.length - 1)];
    if (to) choose(to.id);
  };
  const span = spans.find((each) => each.id === chosen);
  const { start, end } = window_();
  return (
    <div class="tl-chart">
      <div class="tl-tools">
        <span class="muted tl-seen">
          {since(start)} to {since(end)} s
        </span>
        <IconButton icon="minus" label="Zoom out (-)" onClick={() => look(zoomed({ start, end }, all, ZOOM, (start + end) / 2))} />
        <IconButton icon="plus" label="Zoom in (+)" onClick={() => look(zoomed({ start, end }, all, 1 / ZOOM, (start + end) / 2))} />
        <IconButton icon="refresh" label="Show all of it (0)" onClick={() => look(all)} />
      </div>
      <div
        class="tl-scroll"
        ref={box}
        tabIndex={0}
        role="application"
        aria-label={`Timeline of ${spans.length} spans`}
        aria-describedby={`${id}-keys`}
        onScroll={() => again(0)}
        onWheel={wheel}
        onKeyDown={pressed}
        onPointerDown={(event) => {
          if (event.button !== 0 || event.target !== canvas.current) return;
          drag.current = { x: event.clientX, y: event.clientY, moved: false };
          event.currentTarget.setPointerCapture(event.pointerId);
        }}
        onPointerMove={move}
        onPointerUp={released}
        onPointerCancel={() => (drag.current = null)}
        onDblClick={(event) => {
          const under = spanUnder(event);
          if (under) look(revealing({ start: under.start, end: under.start + 1e-9 }, all, under.start, under.end ?? timeline.seconds));
        }}
      >
        <div class="tl-whole" role="presentation" style={{ height: `${AXIS + layout.rows * ROW + ROW}px` }}>
          <canvas class="tl-canvas" ref={canvas} aria-hidden="true" style={{ height: `${box.current?.clientHeight ?? 0}px` }} />
        </div>
      </div>
      <p class="seen-by-readers" id={`${id}-keys`}>
        Plus and minus zoom, the left and right arrows move along time, the up and down arrows go from span to span, Enter
        leads to the record, 0 shows everything. The same is there as a table.
      </p>
      <p class="seen-by-readers" role="status">
        {span ? spoken(span, span.end === null ? "" : duration(span.end - span.start), since(span.start)) : ""}
      </p>
    </div>
  );
}

function wholeOf(timeline: TimelineView): Window {
  const end = timeline.spans.reduce((last, each) => Math.max(last, each.end ?? each.start), timeline.seconds);
  const start = timeline.spans.reduce((first, each) => Math.min(first, each.start), end);
  const room = Math.max((end - start) * 0.01, 1e-4);
  return { start: start - room, end: end + room };
}

function middleOf(spans: readonly Span[], chosen: number, seen: Window): number {
  const span = spans.find((each) => each.id === chosen);
  const middle = (seen.start + seen.end) / 2;
  return span && span.start >= seen.start && span.start <= seen.end ? span.start : middle;
}

