/** The connection that comes back, and what makes a page ask for another. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { Connection, type Speaker } from "../src/conference/connection.ts"
import { LOOK_EVERY_S, SleepWatch } from "../src/conference/sleep_watch.ts"
import { read } from "./vectors.ts"

const sockets: Socket[] = []

/** A WebSocket upon a network that has gone: it opens when it is told to, and never says that it is closed. */
class Socket {
  static readonly OPEN = 1
  readyState = 0
  isClosing = false
  onopen = () => undefined
  onclose = () => undefined
  onmessage = (_message: { readonly data: unknown }) => undefined
  readonly sent: string[] = []
  readonly url: string

  constructor(url: string) {
    this.url = url
    sockets.push(this)
  }
  open(): void {
    this.readyState = Socket.OPEN
    this.onopen()
  }
  hear(text = read("tests", "vectors", "signaling", "server", "going_down.json")): void {
    this.onmessage({ data: text })
  }
  send(text: string): void {
    this.sent.push(text)
  }
  close(): void {
    this.isClosing = true
    this.readyState = 2
  }
}
Object.assign(globalThis, { WebSocket: Socket })

function speaker() {
  const said: string[] = []
  const it: Speaker = {
    hasLeft: false,
    inTurn: (task) => task(),
    opened: () => said.push("opened"),
    heard: ({ type }) => said.push(type),
    misheard: () => said.push("misheard"),
    lost: () => said.push("lost"),
    gaveUp: () => said.push("gave up"),
  }
  sockets.length = 0
  const connection = new Connection("https://meet.example", "AAAAAAAAAAAAAAAAAAAAAA", it)
  connection.connect()
  return { said, connection }
}

/** Every test ends with one that has been answered, so that no timer keeps the process. */
function rest(): void {
  sockets.at(-1)!.hear()
}

const moment = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(isSo: () => boolean): Promise<void> {
  for (let left = 200; !isSo(); left--) {
    assert.ok(left, "not so within two seconds")
    await moment(10)
  }
}

test("a connection that may be dead is replaced without waiting for it to close", async () => {
  const { said, connection } = speaker()
  const [first] = sockets
  first!.open()
  first!.hear()
  connection.renew()
  assert.ok(first!.isClosing)
  assert.ok(!connection.isOpen)
  assert.deepEqual(said, ["opened", "going_down", "lost"])
  first!.hear() // what comes of it still is not heeded
  first!.onclose()
  await until(() => sockets.length === 2)
  sockets[1]!.open()
  connection.send({ type: "leave" })
  assert.deepEqual([first!.sent.length, sockets[1]!.sent.length], [0, 1])
  assert.deepEqual(said, ["opened", "going_down", "lost", "opened"])
  rest()
})

test("an attempt that hangs gives way to the next, but the first of all does not", async () => {
  const { said, connection } = speaker()
  connection.renew() // nothing has ever been heard: wait for what there is
  assert.equal(sockets.length, 1)
  sockets[0]!.open()
  sockets[0]!.hear()
  connection.renew()
  await until(() => sockets.length === 2)
  connection.renew() // the second was under way while the network changed again
  await until(() => sockets.length === 3)
  sockets[1]!.open() // too late
  assert.deepEqual(said, ["opened", "going_down", "lost"])
  rest()
})

test("a text that is no message of the server's ends the connection", async () => {
  const { said } = speaker()
  sockets[0]!.open()
  sockets[0]!.hear()
  sockets[0]!.hear("{}")
  assert.deepEqual(said, ["opened", "going_down", "misheard", "lost"])
  await until(() => sockets.length === 2)
  rest()
})

test("the server is silent only while there is a connection", () => {
  const { connection } = speaker()
  connection.look()
  assert.equal(connection.silentS, 0)
  sockets[0]!.open()
  connection.look()
  connection.look()
  assert.equal(connection.silentS, 2 * LOOK_EVERY_S)
  sockets[0]!.hear()
  assert.equal(connection.silentS, 0)
})

test("a sleep is seen by the time of day", () => {
  const watch = new SleepWatch(1_800_000_000)
  assert.ok(!watch.hasSlept(1_800_000_000 + LOOK_EVERY_S))
  assert.ok(!watch.hasSlept(1_800_000_004.5)) // a timer that is late
  assert.ok(watch.hasSlept(1_800_003_600))
  assert.ok(!watch.hasSlept(1_800_003_602))
  assert.ok(!watch.hasSlept(1_800_000_000)) // set back
  assert.ok(!watch.hasSlept(1_800_000_002))
})
