import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "checks",
    title: "Checks",
    icon: "check",
    scope: "all",
    order: 40,
    load: () => import("./Checks.tsx"),
  },
];
