import type { View } from "../shell/views.ts";
import { held } from "./held.ts";

export const views: View[] = [
  {
    id: "login",
    title: "Login",
    icon: "key",
    scope: "server",
    order: 40,
    load: () => import("./Login.tsx"),
    // Whoever starts a server needs no login for it.
    when: (server) => Boolean(server?.target.url),
    badge: (server) => (server && held.value.has(server.id) ? "waits" : ""),
  },
];
