// What is asked of the Inspector about views.

import { get, post, remove, serverPath, type AppCarried, type AppMessageView, type AppSurroundings, type AppView } from "../api.ts";

const place = (id: string, ...rest: string[]) => ["/api/apps", ...[id, ...rest].map(encodeURIComponent)].join("/");

export const apps = {
  open: (server: string, call: string, around: AppSurroundings) =>
    post<AppView>(serverPath(server, "apps"), { call, around }),
  carry: (id: string, carried: AppCarried) => post<unknown>(place(id, "messages"), carried),
  message: (id: string, n: number) => get<AppMessageView>(place(id, "messages", String(n))),
  surround: (id: string, around: AppSurroundings) => post<unknown>(place(id, "around"), around),
  show: (id: string, mode: AppView["mode"]) => post<AppView>(place(id, "mode"), { mode }),
  close: (id: string) => remove<AppView>(place(id)),
  /** Close it while the page itself goes away. */
  leave: (id: string) => void fetch(place(id), { method: "DELETE", credentials: "same-origin", keepalive: true }),
};
