import type { View } from "../shell/views.ts";

export const views: View[] = [
  { id: "info", title: "Info", icon: "info", scope: "server", order: 0, load: () => import("./Info.tsx") },
];
