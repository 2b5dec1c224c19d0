import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "network",
    title: "Network",
    icon: "network",
    scope: "transcript",
    order: 52,
    load: () => import("./Network.tsx"),
    when: (server) => !server || server.target.url !== "",
  },
];
