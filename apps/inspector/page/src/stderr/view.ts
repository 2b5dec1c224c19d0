import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "stderr",
    title: "Standard error",
    icon: "terminal",
    scope: "transcript",
    order: 56,
    load: () => import("./StandardError.tsx"),
    when: (server) => !server || server.target.command !== "",
  },
];
