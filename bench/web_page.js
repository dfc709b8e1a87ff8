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
  const look = () => {
    const name = document.querySelector("#name")
    // As somebody would who was quick: when the picture of the own camera is there.
    if (name && marks.asked === undefined && document.querySelector(".mirror video")) {
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(name, "Bench")
      name.dispatchEvent(new Event("input", { bubbles: true }))
      note("asked")
      setTimeout(() => document.querySelector("#join").click())
    }
    if (globalThis.meeting?.view.phase === "member") note("member")
    for (const video of document.querySelectorAll("video[data-owner]")) {
      if (watched.has(video)) continue
      watched.add(video)
      video.requestVideoFrameCallback(() => note("frame"))
    }
  }
  setInterval(look, 5)
}
