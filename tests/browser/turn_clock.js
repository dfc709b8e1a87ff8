// Run in a worker: its clock, and what it has set itself to do later, can be turned ahead from then on.
globalThis.turnClock ??= (() => {
  const readClock = performance.now.bind(performance)
  const setNativeTimeout = globalThis.setTimeout.bind(globalThis)
  const clearNativeTimeout = globalThis.clearTimeout.bind(globalThis)
  const due = new Map() // by id: when, and what is to be done
  let ahead = 0
  performance.now = () => readClock() + ahead
  const wait = (id) => {
    const timer = due.get(id)
    timer.id = setNativeTimeout(() => (due.delete(id), timer.act()), timer.at - performance.now())
  }
  let next = 2 ** 40 // no id that the browser gives
  globalThis.setTimeout = (act, ms = 0, ...of) => {
    const id = next++
    due.set(id, { at: performance.now() + ms, act: () => act(...of) })
    wait(id)
    return id
  }
  globalThis.clearTimeout = (id) => {
    clearNativeTimeout(due.get(id)?.id ?? id)
    due.delete(id)
  }
  return (seconds) => {
    ahead += 1000 * seconds
    for (const [id, timer] of due) {
      clearNativeTimeout(timer.id)
      wait(id)
    }
  }
})()
