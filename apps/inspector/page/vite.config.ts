import { defineConfig } from "vite";

// Names have a digest in them, so that what was loaded once stays right; nothing is inlined, so that the policy of the
// page needs no exception for it.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../src/dovetail_inspector/web/page",
    emptyOutDir: true,
    target: ["chrome123", "firefox120", "safari17.5"],
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
