import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "lint",
    title: "Lint",
    icon: "warning",
    scope: "transcript",
    order: 58,
    load: () => import("./Lint.tsx"),
    badge: (_server, transcript) => {
      const count = (transcript?.findings["error"] ?? 0) + (transcript?.findings["warning"] ?? 0);
      return count ? String(count) : "";
    },
  },
];
