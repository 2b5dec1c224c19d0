// Our own small drawings, on a grid of 16.

const PATHS = {
  menu: "M2 4h12M2 8h12M2 12h12",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.6 10.6 14 14",
  close: "M4 4l8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  right: "M6 3l5 5-5 5",
  fold: "M3 6l5 5 5-5",
  left: "M10 3L5 8l5 5",
  check: "M3 8.5 6.5 12 13 4",
  lock: "M4 7h8v7H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.4 1.4M11.6 11.6 13 13M3 13l1.4-1.4M11.6 4.4 13 3",
  moon: "M13.5 9.5A6 6 0 1 1 6.5 2.5a5 5 0 0 0 7 7z",
  auto: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M10 3v10M12 4.500v7",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  server: "M2 3h12v4H2zM2 9h12v4H2zM5 5h0M5 11h0",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7v4M8 5h0",
  tool: "M10 2a3.500 3.500 0 0 0-3 5L2.500 11.500l2 2L9 9a3.500 3.500 0 0 0 5-3l-2.200 1.200L9.800 5.200 11 3z",
  resource: "M2 4l6-2 6 2-6 2zM2 4v8l6 2 6-2V4M8 6v8",
  prompt: "M2 3h12v8H7l-3 3v-3H2z",
  question: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.300 6.300A1.700 1.700 0 1 1 8 8v1M8 11.400h0",
  key: "M10 9a3.500 3.500 0 1 0-3.300-2.300L2 11.400V14h2.500v-2H6v-1.500l1.300-1.200M11 5h0",
  list: "M5 4h9M5 8h9M5 12h9M2 4h0M2 8h0M2 12h0",
  network: "M2 5h11M10 2l3 3-3 3M14 11H3M6 8l-3 3 3 3",
  timeline: "M2 4h6M5 8h8M3 12h5",
  compare: "M3 2v12M13 2v12M6 5h4M6 8h4M6 11h4",
  terminal: "M2 3h12v10H2zM4.500 6l2 2-2 2M8 10.500h3",
  log: "M3 2h10v12H3zM5.500 5h5M5.500 8h5M5.500 11h3",
  task: "M3 3h10v10H3zM5.500 8l2 2 3-4",
  warning: "M8 2l6.500 11.500h-13zM8 6.500v3.500M8 12h0",
  fault: "M9 1.500 3.500 9H8l-1 5.500L12.500 7H8z",
  play: "M4 2.500v11l9-5.500z",
  stop: "M4 4h8v8H4z",
  copy: "M6 6h8v8H6zM10 6V2H2v8h4",
  pin: "M6 2h4l-.5 5L12 9H4l2.500-2zM8 9v5",
  edit: "M2.500 13.500l.700-3L11 2.700l2.300 2.300-7.800 7.800z",
  trash: "M2.500 4h11M6 4V2.500h4V4M4 4l.700 9.500h6.600L12 4",
  open: "M9 2h5v5M14 2 8 8M12 9.500V14H2V4h4.500",
  refresh: "M13.500 8a5.500 5.500 0 1 1-1.600-3.900L13.500 5.500M13.500 2v3.500H10",
  save: "M8 2v8M4.500 7 8 10.500 11.500 7M2.500 13.500h11",
  filter: "M2 3h12l-4.500 5.500V13l-3-1.500v-3z",
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1.500 1.500h-11zM6.500 14h3",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.500V8l2.500 1.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
