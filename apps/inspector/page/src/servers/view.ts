import type { View } from "../shell/views.ts";

export const views: View[] = [
  { id: "servers", title: "Servers", icon: "server", scope: "all", order: 0, load: () => import("./Servers.tsx") },
];
