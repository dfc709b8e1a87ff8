/** Builds the page into ../conference/page, from where `conclave host` serves it. */

import { defineConfig, type Plugin } from "vite"
import { mend, mendedFiles } from "./ts_mls_mends.mjs"

// What ts-mls loads for suites that a meeting does not have. They are no dependencies of ours.
const ABSENT = /^(crypto|@hpke\/(chacha20poly1305|dhkem-x448|ml-kem)|@noble\/(ciphers|curves|post-quantum)(\/.*)?)$/

/** Bundles ts-mls with its faults mended; an error if a mend was not applied. */
export function mendTsMls(): Plugin {
  const applied = new Set<string>()
  return {
    name: "mend-ts-mls",
    enforce: "pre",
    resolveId: (id) => (ABSENT.test(id) ? `\0absent:${id}` : null),
    load: (id) => (id.startsWith("\0absent:") ? "export default undefined" : null),
    transform(source, id) {
      const mended = mend(id, source)
      if (mended === null) return null
      applied.add(mendedFiles.find((file) => id.endsWith(file))!)
      return { code: mended, map: null }
    },
    buildEnd(error) {
      if (error) return
      const left = applied.size ? mendedFiles.filter((file) => !applied.has(file)) : []
      if (left.length) throw new Error(`ts-mls was bundled without the mends of ${left.join(", ")}`)
    },
  }
}

export default defineConfig({
  base: "/",
  publicDir: false,
  plugins: [mendTsMls()],
  worker: {
    format: "es",
    plugins: () => [mendTsMls()],
    rolldownOptions: { output: { codeSplitting: false } },
  },
  build: {
    outDir: "../conference/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
})
