// Drives Chromium for the tests: one JSON object a line in, with an `id` and an `op` of those below, and one a line
// out, with the same `id` and a `result` or an `error`. playwright-core is the page's own development dependency.
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { createInterface } from "node:readline"

const require = createRequire(new URL("../../web/package.json", import.meta.url))
const { chromium } = require("playwright-core")

let browser
let axe
const AXE = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"] }
const pages = new Map() // name -> { context, page, errors, requested }

/** Reads conference/mark.py's mark from a video's present picture; null if there is none. */
function installMarkReader() {
  const COLUMNS = 40
  const ROWS = 3
  const canvas = document.createElement("canvas")
  const crcTable = Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
    return n >>> 0
  })
  const crc32 = (bytes) => ~bytes.reduce((crc, byte) => crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8), -1) >>> 0
  globalThis.readMark = (video) => {
    const width = video.videoWidth
    const cell = Math.floor(width / COLUMNS / 4) * 4
    if (cell === 0) return null
    canvas.width = width
    canvas.height = ROWS * cell
    const context = canvas.getContext("2d", { willReadFrequently: true })
    context.drawImage(video, 0, 0)
    const { data } = context.getImageData(0, 0, width, ROWS * cell)
    const cells = Array.from({ length: ROWS * COLUMNS }, (_, index) => {
      const x = (index % COLUMNS) * cell + cell / 2
      const y = Math.floor(index / COLUMNS) * cell + cell / 2
      return data[4 * (Math.floor(y) * width + Math.floor(x)) + 1]
    })
    const middle = (Math.min(...cells) + Math.max(...cells)) / 2
    if (cells.some((value) => Math.abs(value - middle) < 40)) return null
    const bits = cells.map((value) => (value > middle ? 1 : 0))
    const bytes = Array.from({ length: 15 }, (_, at) => parseInt(bits.slice(8 * at, 8 * at + 8).join(""), 2))
    const body = bytes.slice(2, 11)
    const crc = bytes.slice(11).reduce((value, byte) => value * 256 + byte, 0)
    if (bytes[0] !== 0xb3 || bytes[1] !== 0x8d || crc32(body) !== crc) return null
    return { tag: body[0] * 256 + body[1], number: body[2] * 65536 + body[3] * 256 + body[4] }
  }
}

/** Counts the pictures in a participant's tile that carry its mark, and those that carry another. */
function installWatch() {
  const watched = (globalThis.watched = {})
  globalThis.watchTile = (owner, tag) => (watched[owner] = { tag, right: new Set(), wrong: 0 })
  setInterval(() => {
    for (const video of document.querySelectorAll("video[data-owner]")) {
      const counts = watched[video.dataset.owner]
      const mark = counts && video.style.visibility !== "hidden" && readMark(video)
      if (!mark) continue
      if (mark.tag === counts.tag) counts.right.add(mark.number)
      else counts.wrong++
    }
  }, 30)
}

const operations = {
  async launch({ executable, args }) {
    browser = await chromium.launch({ executablePath: executable, args, chromiumSandbox: false })
    return browser.version()
  },

  /** `options` are newContext's; `before` is run in the page before its own scripts. */
  async open({ name, url, options, before }) {
    const usual = { permissions: ["camera", "microphone"], viewport: { width: 1280, height: 800 } }
    const context = await browser.newContext({ ...usual, ...options })
    const page = await context.newPage()
    const errors = []
    page.on("pageerror", (error) => errors.push(String(error)))
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text())
    })
    page.on("crash", () => errors.push("the page crashed"))
    const requested = [] // by the page and its workers, whether it was let or not
    context.on("request", (request) => requested.push(request.url()))
    page.on("websocket", (socket) => requested.push(socket.url()))
    pages.set(name, { context, page, errors, requested })
    await page.addInitScript(installMarkReader)
    await page.addInitScript(installWatch)
    if (before !== undefined) await page.addInitScript(before)
    await page.goto(url)
  },

  async fill({ name, selector, text }) {
    await pages.get(name).page.fill(selector, text)
  },

  async click({ name, selector }) {
    await pages.get(name).page.click(selector)
  },

  async press({ name, key }) {
    await pages.get(name).page.keyboard.press(key)
  },

  /** What axe finds against WCAG 2.2 AA and good practice, a line each. */
  async axe({ name }) {
    axe ??= await readFile(require.resolve("axe-core/axe.min.js"), "utf8")
    const { violations } = await pages.get(name).page.evaluate(`${axe};axe.run(document, ${JSON.stringify(AXE)})`)
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} at ${target}: ${failureSummary}`))
  },

  async evaluate({ name, expression }) {
    return (await pages.get(name).page.evaluate(expression)) ?? null
  },

  /** Keep one of the page's workers busy for so long: it hangs, as one does that computes or swaps. */
  async hang({ name, worker, forMs }) {
    const found = pages.get(name).page.workers().find((each) => each.url().includes(worker))
    void found.evaluate((ms) => {
      const until = performance.now() + ms
      while (performance.now() < until);
    }, forMs)
  },

  async errors({ name }) {
    return pages.get(name).errors
  },

  async evaluateInWorker({ name, worker, expression }) {
    const found = pages.get(name).page.workers().find((each) => each.url().includes(worker))
    return (await found.evaluate(expression)) ?? null
  },

  async requests({ name }) {
    return pages.get(name).requested
  },

  async screenshot({ name, path }) {
    await pages.get(name).page.screenshot({ path })
  },

  async close({ name }) {
    await pages.get(name).context.close()
    pages.delete(name)
  },

  async quit() {
    await browser?.close()
  },
}

async function answer({ id, op, ...fields }) {
  try {
    return { id, result: (await operations[op](fields)) ?? null }
  } catch (error) {
    return { id, error: String(error?.message ?? error) }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  void answer(request).then((answered) => {
    process.stdout.write(JSON.stringify(answered) + "\n")
    if (request.op === "quit") process.exit()
  })
}
