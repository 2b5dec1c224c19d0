import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "faults",
    title: "Faults",
    icon: "fault",
    scope: "all",
    order: 50,
    load: () => import("./Faults.tsx"),
  },
];
