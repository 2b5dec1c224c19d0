import type { View } from "../shell/views.ts";
import { logs } from "../store.ts";

export const views: View[] = [
  {
    id: "logs",
    title: "Logs",
    icon: "log",
    scope: "server",
    order: 46,
    load: () => import("./Logs.tsx"),
    badge: (server) => {
      const count = logs.value.filter((each) => each.server === server?.id).length;
      return count ? String(count) : "";
    },
  },
];
