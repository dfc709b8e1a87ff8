// What bench/web.py puts into each page before its own scripts: when things happened, in ms since navigation began.
globalThis.marks = {}
globalThis.longTasks = []
{
  const note = (what) => (marks[what] ??= performance.now())
  addEventListener("load", () => note("loaded"))
  new PerformanceObserver((list) => longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({
    type: "longtask",
  })
  const watched = new WeakSet()
  let isFilled = false
  const look = () => {
    const name = document.querySelector("#name")
    // As somebody would who was quick: when the picture of the own camera is there; or later.
    if (name && !isFilled && document.querySelector(".mirror video")) {
      isFilled = true
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(name, "Bench")
      name.dispatchEvent(new Event("input", { bubbles: true }))
      setTimeout(() => {
        note("asked")
        document.querySelector("#join").click()
      }, lingerMs)
    }
    if (["waiting to be let in", "member"].includes(globalThis.meeting?.view.phase)) note("knocked")
    if (globalThis.meeting?.view.phase === "member") note("member")
    for (const video of document.querySelectorAll("video[data-owner]")) {
      if (watched.has(video)) continue
      watched.add(video)
      video.requestVideoFrameCallback(() => note("frame"))
    }
  }
  setInterval(look, 5)
}
