import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "tasks",
    title: "Tasks",
    icon: "task",
    scope: "server",
    order: 44,
    load: () => import("./Tasks.tsx"),
  },
];
