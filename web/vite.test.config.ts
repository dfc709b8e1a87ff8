/** Bundles the tests for Node, ts-mls mended as in the page: `npm test`. */

import { readdirSync } from "node:fs"
import { defineConfig } from "vite"
import { mendTsMls } from "./vite.config.ts"

const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts"))

export default defineConfig({
  plugins: [mendTsMls()],
  publicDir: false,
  ssr: { noExternal: true },
  build: {
    ssr: true,
    outDir: "out/tests",
    emptyOutDir: true,
    minify: false,
    rolldownOptions: {
      input: Object.fromEntries(tests.map((name) => [name.slice(0, -3), `tests/${name}`])),
      output: { entryFileNames: "[name].mjs", chunkFileNames: "chunks/[name]-[hash].mjs" },
    },
  },
})
