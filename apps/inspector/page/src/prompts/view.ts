import type { View } from "../shell/views.ts";

export const views: View[] = [
  { id: "prompts", title: "Prompts", icon: "prompt", scope: "server", order: 30, load: () => import("./Prompts.tsx") },
];
