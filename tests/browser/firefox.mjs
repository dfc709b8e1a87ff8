// Drives Firefox for the tests, by lines.mjs, with puppeteer-core over WebDriver BiDi: playwright cannot drive the
// Firefox that people have.
import { createRequire } from "node:module"
import { serve } from "./lines.mjs"
import { installMarkReader, installWatch } from "./watch.mjs"

const puppeteer = createRequire(new URL("../../web/package.json", import.meta.url))("puppeteer-core")

const PREFERENCES = {
  "media.navigator.streams.fake": true, // a camera and a microphone
  "media.navigator.permission.disabled": true, // and no question about them
  "media.autoplay.default": 0,
  "media.peerconnection.ice.loopback": true,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
}
let browser
const pages = new Map() // name -> { page, errors }

await serve({
  async launch({ executable }) {
    const options = { browser: "firefox", executablePath: executable, extraPrefsFirefox: PREFERENCES }
    browser = await puppeteer.launch({ ...options, headless: true })
    return browser.version()
  },

  async open({ name, url }) {
    const page = await browser.newPage()
    const errors = []
    page.on("pageerror", (error) => errors.push(String(error)))
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text())
    })
    pages.set(name, { page, errors })
    await page.evaluateOnNewDocument(installMarkReader)
    await page.evaluateOnNewDocument(installWatch)
    await page.goto(url)
  },

  async fill({ name, selector, text }) {
    await pages.get(name).page.locator(selector).fill(text)
  },

  async click({ name, selector }) {
    await pages.get(name).page.locator(selector).click()
  },

  async evaluate({ name, expression }) {
    return (await pages.get(name).page.evaluate(expression)) ?? null
  },

  async errors({ name }) {
    return pages.get(name).errors
  },

  async screenshot({ name, path }) {
    await pages.get(name).page.screenshot({ path })
  },

  async close({ name }) {
    await pages.get(name).page.close()
    pages.delete(name)
  },

  async quit() {
    await browser?.close()
  },
})
