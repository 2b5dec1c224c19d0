import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "captures",
    title: "Captures",
    icon: "file",
    scope: "all",
    order: 20,
    load: () => import("./Captures.tsx"),
  },
];
