import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "resources",
    title: "Resources",
    icon: "resource",
    scope: "server",
    order: 20,
    load: () => import("./Resources.tsx"),
  },
];
