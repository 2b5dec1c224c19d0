import type { View } from "../shell/views.ts";

export const views: View[] = [
  {
    id: "questions",
    title: "Questions",
    icon: "question",
    scope: "all",
    order: 5,
    load: () => import("./Questions.tsx"),
  },
];
