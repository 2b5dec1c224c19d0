// The page begins: the token of the address becomes a cookie that scripts cannot read, and is removed from sight.

import { render } from "preact";
import { api, errorView } from "./api.ts";
import { connection, opening, servers, start } from "./store.ts";
import { go, path } from "./shell/route.ts";
import { Shell } from "./shell/Shell.tsx";
import { applyTheme } from "./shell/theme.ts";
import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/components.css";
import "./styles/shell.css";
import "./styles/forms.css";
import "./styles/views.css";

async function open(): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  if (token) {
    go(given.get("go") ?? "/", 0, true);
    try {
      await api.open(token);
    } catch (problem) {
      connection.value = "closed";
      opening.value = errorView(problem);
      return;
    }
  }
  await start();
  const [only, ...others] = servers.value;
  if (token && !given.has("go") && only && !others.length) go(path("s", only.id, "tools"), 0, true);
}

applyTheme();
render(<Shell />, document.getElementById("root")!);
void open();
