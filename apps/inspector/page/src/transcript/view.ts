import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "transcript",
    title: "Transcript",
    icon: "list",
    scope: "transcript",
    order: 50,
    load: () => import("./Transcript.tsx"),
  },
];
