// Drives Chromium for the tests, by lines.mjs. playwright-core is the page's own development dependency.
import { readFile } from "node:fs/promises"
import { createRequire } from "node:module"
import { serve } from "./lines.mjs"
import { installMarkReader, installWatch } from "./watch.mjs"

const require = createRequire(new URL("../../web/package.json", import.meta.url))
const { chromium } = require("playwright-core")

let browser
let launched // how
let axe
const AXE = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], resultTypes: ["violations"] }
const pages = new Map() // name -> { context, page, errors, requested }

const operations = {
  async launch({ executable, args }) {
    launched = { executablePath: executable, args, chromiumSandbox: false }
    browser = await chromium.launch(launched)
    return browser.version()
  },

  /**
   * `options` are newContext's; `before` is run in the page before its own scripts. With a `profile`, a folder, it is
   * a browser of its own, which keeps there what a browser keeps; `beside` is a page of which it is another tab.
   */
  async open({ name, url, options, before, profile, beside }) {
    const usual = { permissions: ["camera", "microphone"], viewport: { width: 1280, height: 800 }, ...options }
    const context =
      beside !== undefined
        ? pages.get(beside).context
        : profile !== undefined
          ? await chromium.launchPersistentContext(profile, { ...launched, ...usual })
          : await browser.newContext(usual)
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
    pages.set(name, { closing: beside === undefined ? context : page, context, page, errors, requested })
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

  /** Choose a file, as if by hand. */
  async choose({ name, selector, path }) {
    await pages.get(name).page.setInputFiles(selector, path)
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
    await pages.get(name).closing.close()
    pages.delete(name)
  },

  async quit() {
    await browser?.close()
  },
}

await serve(operations)
