// The outer document of a view: it loads the HTML that the page hands it into a frame without an origin, whose policy is
// that of this document, and carries messages between the two. It says nothing of its own but that it is ready.

"use strict";

(() => {
  const { page, allow } = document.currentScript.dataset;
  const prefix = "ui/notifications/sandbox-";
  const ofSandbox = (message) =>
    typeof message === "object" && message !== null && typeof message.method === "string" && message.method.startsWith(prefix);
  let inner = null;

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

  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.origin === page) {
      if (!ofSandbox(event.data)) inner?.contentWindow?.postMessage(event.data, "*");
      else if (event.data.method === `${prefix}resource-ready`) load(event.data.params ?? {});
    } else if (inner !== null && event.source === inner.contentWindow && !ofSandbox(event.data)) {
      window.parent.postMessage(event.data, page);
    }
  });
  window.parent.postMessage({ jsonrpc: "2.0", method: `${prefix}proxy-ready`, params: {} }, page);
})();
