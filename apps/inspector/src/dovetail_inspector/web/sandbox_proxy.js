// The outer document of a view: it loads the HTML that the page hands it into a frame without an origin, whose policy is
// that of this document, and carries messages between the two. It says nothing of its own but that it is ready, and that
// a message was too long. A view that says too much keeps this document busy, and not the page.

"use strict";

(() => {
  const { page, allow } = document.currentScript.dataset;
  const prefix = "ui/notifications/sandbox-";
  const longest = 4 * 1024 * 1024; // characters, as in the bridge
  const most = 1000; // messages a second
  let inner = null;
  let second = 0;
  let count = 0;

  const tell = (method, params) => window.parent.postMessage({ jsonrpc: "2.0", method: prefix + method, params }, page);
  const ofSandbox = (message) =>
    typeof message === "object" && message !== null && typeof message.method === "string" && message.method.startsWith(prefix);

  function load({ html }) {
    if (inner !== null || typeof html !== "string") return;
    inner = document.createElement("iframe");
    // No allow-same-origin: the view has an origin that nothing else has, neither other views nor this document.
    inner.setAttribute("sandbox", "allow-scripts allow-forms");
    inner.setAttribute("allow", allow);
    inner.setAttribute("title", "View");
    inner.srcdoc = html;
    document.body.append(inner);
  }

  function admitted() {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) [second, count] = [now, 0];
    count += 1;
    return count <= most;
  }

  function written(message) {
    try {
      return JSON.stringify(message) ?? '"undefined"';
    } catch {
      return '"no JSON"';
    }
  }

  function carry(message) {
    if (!admitted()) return;
    const text = written(message);
    if (text.length > longest) return tell("too-long", { length: text.length });
    const plain = JSON.parse(text); // what has a form in JSON, and nothing that only a browser can hand on
    if (!ofSandbox(plain)) window.parent.postMessage(plain, page);
  }

  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.origin === page) {
      if (!ofSandbox(event.data)) inner?.contentWindow?.postMessage(event.data, "*");
      else if (event.data.method === `${prefix}resource-ready`) load(event.data.params ?? {});
    } else if (inner !== null && event.source === inner.contentWindow) {
      carry(event.data);
    }
  });
  tell("proxy-ready", {});
})();
