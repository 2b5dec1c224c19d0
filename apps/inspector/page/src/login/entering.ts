// Logging in, from wherever one is asked to.

import { api, type ServerView } from "../api.ts";

/** Connect to a server, and log in where it asks for that; logins are turned on where they were off. */
export async function logIn(server: ServerView): Promise<void> {
  if (!server.settings.login) await api.changeServer(server.id, { settings: { ...server.settings, login: true } });
  await api.connect(server.id);
}
