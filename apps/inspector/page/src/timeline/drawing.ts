// The spans that are in view, on a canvas.

import { isBad, type Span, type SpanKind } from "./data.ts";
import type { Layout } from "./lanes.ts";
import { ticks, tickText, type Window } from "./scale.ts";

export const ROW = 19;
export const AXIS = 22;
const GAP = 2;
const INSET: Partial<Record<SpanKind, number>> = { round: 3, question: 3 };
const TOKENS = [
  "surface",
  "sunken",
  "line",
  "line-strong",
  "text",
  "muted",
  "accent",
  "accent-ground",
  "ask",
  "ask-ground",
  "ok",
  "ok-ground",
  "warning-ground",
  "warning",
  "error",
  "error-ground",
] as const;
type Colours = Record<(typeof TOKENS)[number], string>;

const KIND: Record<SpanKind, { line: keyof Colours; ground: keyof Colours }> = {
  connection: { line: "line-strong", ground: "sunken" },
  http: { line: "line-strong", ground: "surface" },
  stream: { line: "ok", ground: "surface" },
  subscription: { line: "ok", ground: "ok-ground" },
  call: { line: "accent", ground: "accent-ground" },
  round: { line: "ask", ground: "surface" },
  question: { line: "ask", ground: "ask-ground" },
  task: { line: "warning", ground: "warning-ground" },
};

/** The colours of the page as they are now. */
export function colours(host: HTMLElement): Colours {
  const probe = document.createElement("span");
  probe.hidden = true;
  host.append(probe);
  const found = Object.fromEntries(
    TOKENS.map((name) => {
      probe.style.color = `var(--${name})`;
      return [name, getComputedStyle(probe).color];
    }),
  ) as Colours;
  probe.remove();
  return found;
}

export interface Scene {
  layout: Layout<Span>;
  seen: Window;
  /** Pixels above the view. */
  top: number;
  width: number;
  height: number;
  /** For what has not ended. */
  now: number;
  chosen: number;
  colours: Colours;
}

export function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(scene.width * ratio);
  canvas.height = Math.round(scene.height * ratio);
  const pen = canvas.getContext("2d");
  if (!pen) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = scene.colours.surface;
  pen.fillRect(0, 0, scene.width, scene.height);
  pen.textBaseline = "middle";
  const family = getComputedStyle(canvas).fontFamily;
  pen.font = `11.5px ${family}`;
  const axis = ticks(scene.seen, scene.width / 110);
  pen.strokeStyle = scene.colours.line;
  pen.beginPath();
  for (const at of axis.at) {
    const x = Math.round(xOf(at, scene)) + 0.5;
    pen.moveTo(x, AXIS - 6);
    pen.lineTo(x, scene.height);
  }
  pen.stroke();
  rows(pen, scene);
  pen.fillStyle = scene.colours.surface;
  pen.fillRect(0, 0, scene.width, AXIS - 5);
  pen.fillStyle = scene.colours.muted;
  for (const at of axis.at) pen.fillText(tickText(at, axis.step), xOf(at, scene) + 3, 9);
}

export function xOf(time: number, { seen, width }: Pick<Scene, "seen" | "width">): number {
  return ((time - seen.start) / (seen.end - seen.start)) * width;
}

function rows(pen: CanvasRenderingContext2D, scene: Scene): void {
  const first = Math.max(Math.floor(scene.top / ROW), 0);
  const last = Math.ceil((scene.top + scene.height) / ROW);
  for (const band of scene.layout.bands) {
    if (band.head < first - 1 || band.head > last) continue;
    const y = AXIS + band.head * ROW - scene.top;
    pen.fillStyle = scene.colours.muted;
    pen.fillText(`connection ${band.link}`, 6, y + ROW / 2 + 1);
  }
  for (let row = first; row <= last; row += 1) {
    const y = AXIS + row * ROW - scene.top;
    let until = -1;
    for (const span of scene.layout.byRow.get(row) ?? []) {
      const from = xOf(span.start, scene);
      if (from > scene.width) break;
      const to = xOf(span.end ?? scene.now, scene);
      if (to < 0) continue;
      // What would be drawn over the same pixels is not drawn again.
      if (to <= until && to - from < 1 && span.id !== scene.chosen) continue;
      bar(pen, scene, span, from, Math.max(to, from + 2), y);
      until = Math.max(until, from + 1);
    }
  }
}

function bar(pen: CanvasRenderingContext2D, scene: Scene, span: Span, from: number, to: number, y: number): void {
  const inset = INSET[span.kind] ?? 0;
  const x = Math.max(from, -4);
  const width = Math.min(to, scene.width + 4) - x;
  const top = y + GAP / 2 + inset;
  const height = ROW - GAP - inset * 2;
  const kind = KIND[span.kind] ?? KIND.call;
  const bad = isBad(span);
  pen.fillStyle = scene.colours[bad ? "error-ground" : kind.ground];
  pen.strokeStyle = scene.colours[bad ? "error" : kind.line];
  pen.lineWidth = span.id === scene.chosen ? 2.5 : 1;
  pen.beginPath();
  pen.roundRect(x + 0.5, top + 0.5, Math.max(width - 1, 1), height - 1, Math.min(3, width / 3));
  pen.fill();
  pen.stroke();
  pen.lineWidth = 1;
  // The beginning is solid, so that kinds differ by more than their shade.
  pen.fillStyle = pen.strokeStyle;
  if (from >= -4) pen.fillRect(x, top, Math.min(3, width), height);
  if (width > 34) {
    pen.save();
    pen.beginPath();
    pen.rect(x, top, width - 4, height);
    pen.clip();
    pen.fillStyle = scene.colours.text;
    pen.fillText(span.name || span.kind, Math.max(x, 0) + 7, top + height / 2 + 0.5);
    pen.restore();
  }
}
