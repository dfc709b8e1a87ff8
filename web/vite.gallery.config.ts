/** Builds the gallery, every view of the page in every state, into out/gallery. It is for tests: nothing serves it. */

import { defineConfig } from "vite"

export default defineConfig({
  root: "tests/ui",
  base: "/",
  publicDir: false,
  build: {
    outDir: "../../out/gallery", // of web/
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: { input: "tests/ui/gallery.html" },
  },
})
