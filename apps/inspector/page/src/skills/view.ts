import type { View } from "../shell/views.ts";

/** The extension by which a server says that it has skills. */
const EXTENSION = "io.modelcontextprotocol/skills";

export const views: View[] = [
  {
    id: "skills",
    title: "Skills",
    icon: "file",
    scope: "server",
    order: 35,
    load: () => import("./Skills.tsx"),
    when: (server) => Boolean(server?.extensions.includes(EXTENSION)),
  },
];
