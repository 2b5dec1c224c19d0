// A list of which only the rows in sight are there: 10,000 rows and a million cost the same.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";

// Browsers cut elements that are higher than some 17 to 33 million pixels.
const HIGHEST = 8_000_000;
const BEYOND = 8;

interface VirtualListProps {
  count: number;
  /** Pixels of each row. */
  rowHeight: number;
  /** What a row shows. */
  render: (index: number) => ComponentChildren;
  /** What identifies a row; its index, if absent. */
  keyOf?: (index: number) => string | number;
  /** What the list holds. */
  label: string;
  /** The chosen row, -1 for none. */
  selected?: number;
  onSelect?: (index: number) => void;
  /** Enter or a double click on the chosen row. */
  onOpen?: (index: number) => void;
  /** The rows from `start` to before `end` are in sight, or nearly. */
  onRange?: (start: number, end: number) => void;
  /** Stay at the end while rows are added, if the end is in sight. */
  follow?: boolean;
  /** Attributes of a row, such as `data-kind`. */
  rowData?: (index: number) => Record<string, string>;
}

/** The first row in sight, and where it stands, for a place of the bar. */
export function inSight(top: number, height: number, count: number, rowHeight: number) {
  const first = Math.max(Math.floor(top / rowHeight) - BEYOND, 0);
  const end = Math.min(Math.ceil((top + height) / rowHeight) + BEYOND, count);
  return { first, end };
}

export function VirtualList(props: VirtualListProps) {
  const { count, rowHeight, render, selected = -1, onSelect, onOpen, onRange } = props;
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const placed = useRef(-1);
  const id = useId();
  const whole = count * rowHeight;
  const shown = Math.min(whole, HIGHEST);
  // How many pixels of the whole a pixel of the bar stands for.
  const scale = whole > shown ? (whole - height) / (shown - height) : 1;
  const most = Math.max(whole - height, 0);

  const move = (to: number) => {
    const next = Math.min(Math.max(to, 0), most);
    setTop(next);
    placed.current = Math.round(next / scale);
    if (box.current) box.current.scrollTop = placed.current;
  };
  useLayoutEffect(() => {
    const element = box.current!;
    const watch = new ResizeObserver(() => setHeight(element.clientHeight || 1));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (props.follow && atEnd.current) move(most);
    else if (top > most) move(most);
  }, [count, height]);
  useLayoutEffect(() => {
    if (selected < 0) return;
    const from = selected * rowHeight;
    if (from < top) move(from);
    else if (from + rowHeight > top + height) move(from + rowHeight - height);
  }, [selected]);

  const { first, end } = inSight(top, height, count, rowHeight);
  useEffect(() => onRange?.(first, end), [first, end]);

  const scroll = () => {
    if (!box.current) return; // the browser tells of it a frame later, and the list may be gone
    const at = box.current.scrollTop;
    // A place that was set by `move` says less exactly what `top` says already.
    if (Math.abs(at - placed.current) > 1) {
      placed.current = -1;
      setTop(at * scale);
    }
    atEnd.current = at + height >= shown - rowHeight;
  };
  const wheel = (event: WheelEvent) => {
    if (scale === 1 || event.ctrlKey || !event.deltaY) return;
    event.preventDefault();
    move(top + event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? rowHeight : 1));
  };
  const press = (event: KeyboardEvent) => {
    if (event.target !== box.current) return;
    const page = Math.max(Math.floor(height / rowHeight) - 1, 1);
    const steps: Record<string, number> = {
      ArrowDown: selected + 1,
      ArrowUp: selected - 1,
      PageDown: selected + page,
      PageUp: selected - page,
      Home: 0,
      End: count - 1,
    };
    const to = steps[event.key];
    if (to !== undefined && onSelect && count) {
      event.preventDefault();
      onSelect(Math.min(Math.max(to, 0), count - 1));
    } else if (event.key === "Enter" && selected >= 0 && onOpen) {
      event.preventDefault();
      onOpen(selected);
    }
  };
  const base = scale === 1 ? 0 : (box.current?.scrollTop ?? 0) - top;
  const rows: ComponentChildren[] = [];
  for (let index = first; index < end; index++) {
    rows.push(
      <div
        key={props.keyOf?.(index) ?? index}
        id={`${id}-${index}`}
        class="row"
        role="option"
        aria-selected={index === selected}
        aria-posinset={index + 1}
        aria-setsize={count}
        style={{ top: `${base + index * rowHeight}px`, height: `${rowHeight}px` }}
        onClick={() => onSelect?.(index)}
        onDblClick={() => onOpen?.(index)}
        {...props.rowData?.(index)}
      >
        {render(index)}
      </div>,
    );
  }
  return (
    <div
      class="virtual-list"
      ref={box}
      role="listbox"
      tabIndex={0}
      aria-label={props.label}
      aria-activedescendant={selected >= first && selected < end ? `${id}-${selected}` : undefined}
      onScroll={scroll}
      onWheel={wheel}
      onKeyDown={press}
    >
      <div class="virtual-whole" role="presentation" style={{ height: `${shown}px` }}>
        {rows}
      </div>
    </div>
  );
}
