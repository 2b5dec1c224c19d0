// A list of any length, of which only what is in view is in the page. One entry is chosen; arrows, page keys, Home and
// End move the choice, Enter opens it. Rows are all of one height.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useMemo, useReducer, useRef } from "preact/hooks";
import { Scrolling } from "./scrolling.ts";

export interface LongListProps {
  /** What the list is, for screen readers. */
  label: string;
  count: number;
  /** Pixels of a row (26). */
  row?: number;
  /** The entry that is chosen; -1 for none. */
  chosen: number;
  /** Whether it stays at its end while more comes. */
  follow?: boolean;
  onChoose: (place: number) => void;
  onOpen?: (place: number) => void;
  /** The person moved: whether the end is in view now. */
  onMove?: (atEnd: boolean) => void;
  /** These places are in view. */
  onView?: (first: number, last: number) => void;
  /** Another key was pressed at the chosen entry; gives whether it meant something. */
  onKey?: (event: KeyboardEvent, place: number) => boolean;
  rowClass?: (place: number) => string;
  children: (place: number) => ComponentChildren;
}

const IDLE = 150;

export function LongList(props: LongListProps) {
  const { count, chosen, follow = false, row = 26 } = props;
  const id = useId();
  const element = useRef<HTMLDivElement>(null);
  const list = useMemo(() => new Scrolling(row), [row]);
  const [, draw] = useReducer((times: number) => times + 1, 0);
  const timer = useRef(0);
  const shown = useRef(chosen);
  const latest = useRef(props);
  latest.current = props;

  const settle = () => {
    const at = element.current;
    if (!at) return;
    if (Math.abs(at.scrollTop - list.barTop) > 0.5) at.scrollTop = list.barTop;
    list.settled(at.scrollTop);
  };

  useLayoutEffect(() => {
    const at = element.current;
    if (!at) return;
    list.resize(count, at.clientHeight);
    if (follow) list.toEnd();
    if (shown.current !== chosen && chosen >= 0) list.reveal(chosen, "center");
    shown.current = chosen;
    settle();
    draw(0);
  }, [count, chosen, follow, list]);

  useLayoutEffect(() => {
    const at = element.current;
    if (!at) return;
    const observer = new ResizeObserver(() => {
      list.resize(latest.current.count, at.clientHeight);
      if (latest.current.follow) list.toEnd();
      settle();
      draw(0);
    });
    observer.observe(at);
    return () => {
      observer.disconnect();
      window.clearTimeout(timer.current);
    };
  }, [list]);

  const first = list.first;
  const last = list.last;
  useEffect(() => {
    if (last >= first) latest.current.onView?.(first, last);
  }, [first, last, count]);

  const scrolled = () => {
    const at = element.current;
    if (!at) return;
    if (Math.abs(at.scrollTop - list.barTop) > 0.5) {
      list.moved(at.scrollTop);
      latest.current.onMove?.(list.atEnd);
      draw(0);
    }
    list.settled(at.scrollTop);
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(settle, IDLE);
  };

  const choose = (place: number) => {
    if (count === 0) return;
    const to = Math.min(Math.max(place, 0), count - 1);
    list.reveal(to);
    shown.current = to;
    settle();
    draw(0);
    props.onMove?.(list.atEnd);
    props.onChoose(to);
  };

  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(Math.floor(list.view / row) - 1, 1);
    const here = chosen < 0 ? list.first - 1 : chosen;
    const to: Record<string, number> = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      PageDown: here + page,
      PageUp: here - page,
      Home: 0,
      End: count - 1,
    };
    if (event.key in to) choose(to[event.key]!);
    else if (event.key === "Enter" && chosen >= 0 && props.onOpen) props.onOpen(chosen);
    else if (!props.onKey?.(event, chosen)) return;
    event.preventDefault();
  };

  const places = [];
  for (let place = first; place <= last; place += 1) places.push(place);
  const active = chosen >= first && chosen <= last ? `${id}-${chosen}` : undefined;
  return (
    <div
      class="long-list"
      ref={element}
      role="listbox"
      tabIndex={0}
      aria-label={props.label}
      aria-activedescendant={active}
      onScroll={scrolled}
      onKeyDown={pressed}
    >
      <div class="long-list-bar" role="presentation" style={{ height: `${list.bar}px` }}>
        <div
          class="long-list-rows"
          role="presentation"
          style={{ transform: `translateY(${(element.current?.scrollTop ?? 0) + first * row - list.top}px)` }}
        >
          {places.map((place) => (
            <div
              key={place}
              id={`${id}-${place}`}
              class={`long-list-row ${props.rowClass?.(place) ?? ""}`}
              role="option"
              aria-selected={place === chosen}
              aria-posinset={place + 1}
              aria-setsize={count}
              style={{ height: `${row}px` }}
              onClick={() => choose(place)}
              onDblClick={() => props.onOpen?.(place)}
            >
              {props.children(place)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}
