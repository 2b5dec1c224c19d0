import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "compare",
    title: "Compare",
    icon: "compare",
    scope: "all",
    order: 30,
    load: () => import("./Compare.tsx"),
  },
];
