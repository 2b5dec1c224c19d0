import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "timeline",
    title: "Timeline",
    icon: "timeline",
    scope: "transcript",
    order: 54,
    load: () => import("./Timeline.tsx"),
  },
];
