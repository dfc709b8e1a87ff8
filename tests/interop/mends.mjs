// Loads ts-mls with its faults mended: node --import ./mends.mjs peer.mjs
import { register } from "node:module"
import { isMainThread } from "node:worker_threads"
import { mend } from "../../web/ts_mls_mends.mjs"

export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  if (!url.includes("/ts-mls/dist/")) return loaded
  const source = mend(url, String(loaded.source))
  return source === null ? loaded : { ...loaded, source }
}

if (isMainThread) register(import.meta.url)
