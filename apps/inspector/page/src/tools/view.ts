import type { View } from "../shell/views.ts";

export const views: View[] = [
  { id: "tools", title: "Tools", icon: "tool", scope: "server", order: 10, load: () => import("./Tools.tsx") },
];
