/** From sealed frames to tiles, whom we cannot decrypt, and who is confirmed in its epoch. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { own, type Octets } from "../src/bytes.ts"
import { DecryptHealth, nearestEpoch } from "../src/conference/decrypt_health.ts"
import type { Opened } from "../src/conference/epoch_keys.ts"
import { Heartbeats } from "../src/conference/heartbeat.ts"
import { MAX_SLOTS, ReceivePath, type TileKey } from "../src/conference/receive_path.ts"
import { type Person, Roster } from "../src/conference/roster.ts"
import { SFrameProtocolError } from "../src/sframe/errors.ts"

const KEY = own(Uint8Array.of(0, 1))
const DELTA = own(Uint8Array.of(1, 1))

/** Surroundings in which a frame opens as `sender` says, and time is what it is set to. */
class World {
  time = 0
  sender: TileKey = { owner: "ada", kidContext: 1 }
  failing: SFrameProtocolError | undefined
  readonly bound: [string, TileKey, number][] = []
  readonly asked: string[] = []
  /** Whether the page binds at once. */
  binds = true
  readonly waits: number[] = []
  readonly path = new ReceivePath({
    now: () => this.time,
    open: async (frame: Octets): Promise<Opened> => {
      if (this.failing !== undefined) throw this.failing
      return { frame, epoch: 0, senderIndex: 7, kidContext: this.sender.kidContext }
    },
    ownerOf: (_epoch, leaf) => (leaf === 7 ? this.sender.owner || undefined : undefined),
    keysChanged: async (withinS) => {
      this.waits.push(withinS)
      this.time += withinS
    },
    bind: (mid, tile, rtpTimestamp) => {
      this.bound.push([mid, tile, rtpTimestamp])
      return this.binds ? Promise.resolve() : new Promise(() => undefined)
    },
    askKeyFrame: (mid) => void this.asked.push(mid),
  })
}

const unknown = (mayCome: boolean) => new SFrameProtocolError("unknown key", "", mayCome, 0x129n)
const badTag = new SFrameProtocolError("bad tag", "")

test("a frame goes to the tile that its key id names, when that is bound", async () => {
  const world = new World()
  assert.deepEqual(await world.path.receive("0", "video", KEY, 90), KEY)
  assert.deepEqual(await world.path.receive("0", "video", DELTA, 180), DELTA)
  assert.deepEqual(world.bound, [["0", { owner: "ada", kidContext: 1 }, 90]])
  world.sender = { owner: "bob", kidContext: 1 }
  assert.equal(await world.path.receive("0", "video", DELTA, 270), undefined) // of whom no picture is known
  assert.deepEqual(world.asked, ["0"])
  assert.deepEqual(await world.path.receive("0", "video", KEY, 360), KEY)
  assert.deepEqual(world.bound.at(-1), ["0", { owner: "bob", kidContext: 1 }, 270])
})

test("nothing is shown under a name that the page has not taken up", async () => {
  const world = new World()
  await world.path.receive("0", "video", KEY, 0)
  world.binds = false
  world.sender = { owner: "bob", kidContext: 1 }
  assert.equal(await world.path.receive("0", "video", KEY, 1), undefined)
  world.sender = { owner: "ada", kidContext: 1 } // back, but the slot is not bound to it any more
  assert.equal(await world.path.receive("0", "video", KEY, 2), undefined)
  assert.equal(world.path.slots().get("0")!.dropped.get("not bound"), 2)
})

test("sound on a line for pictures, and a leaf of nobody, go nowhere", async () => {
  const world = new World()
  world.sender = { owner: "ada", kidContext: 0 }
  assert.equal(await world.path.receive("0", "video", KEY, 0), undefined)
  world.sender = { owner: "", kidContext: 1 }
  assert.equal(await world.path.receive("0", "video", KEY, 0), undefined)
  assert.deepEqual([...world.path.slots().get("0")!.dropped.keys()], ["wrong kind", "no such sender"])
  assert.deepEqual(world.bound, [])
})

test("a frame waits a second for its key, and those behind it no longer", async () => {
  const world = new World()
  world.failing = unknown(true)
  assert.equal(await world.path.receive("0", "audio", DELTA, 0), undefined)
  assert.equal(await world.path.receive("0", "audio", DELTA, 0), undefined)
  assert.deepEqual(world.waits, [1])
  world.failing = unknown(false)
  world.waits.length = 0
  assert.equal(await world.path.receive("1", "audio", DELTA, 0), undefined)
  assert.deepEqual(world.waits, [])
})

test("each key is waited for, whatever did not open before", async () => {
  const world = new World()
  world.failing = new SFrameProtocolError("replayed", "")
  await world.path.receive("0", "video", KEY, 0) // the last frame before the camera was off for a minute, doubled
  world.time += 60
  world.failing = unknown(true)
  await world.path.receive("0", "video", KEY, 1)
  assert.deepEqual(world.waits, [1])
  world.failing = new SFrameProtocolError("unknown key", "", true, 0x12an) // of the epoch after that
  await world.path.receive("0", "video", KEY, 2)
  assert.deepEqual(world.waits, [1, 1])
})

test("nobody takes over a slot with a frame from before what the decoder has", async () => {
  const world = new World()
  await world.path.receive("0", "video", KEY, 2 ** 32 - 90)
  await world.path.receive("0", "video", DELTA, 90)
  world.sender = { owner: "bob", kidContext: 1 }
  for (const early of [2 ** 32 - 180, 0, 90]) {
    assert.equal(await world.path.receive("0", "video", KEY, early), undefined)
  }
  assert.equal(world.bound.length, 1)
  assert.deepEqual(await world.path.receive("0", "video", KEY, 180), KEY)
  assert.deepEqual(world.bound.at(-1), ["0", { owner: "bob", kidContext: 1 }, 180])
  world.sender = { owner: "eve", kidContext: 1 } // a browser that does not tell timestamps
  assert.deepEqual(await world.path.receive("0", "video", KEY, undefined), KEY)
})

test("after a picture that did not open, the next that is shown is a key frame", async () => {
  const world = new World()
  await world.path.receive("0", "video", KEY, 0)
  world.failing = badTag
  assert.equal(await world.path.receive("0", "video", DELTA, 1), undefined)
  world.failing = undefined
  assert.equal(await world.path.receive("0", "video", DELTA, 2), undefined)
  assert.deepEqual(await world.path.receive("0", "video", KEY, 3), KEY)
  // What networks double is no reason to begin anew.
  world.failing = new SFrameProtocolError("replayed", "")
  await world.path.receive("0", "video", DELTA, 3)
  world.failing = undefined
  assert.deepEqual(await world.path.receive("0", "video", DELTA, 4), DELTA)
})

test("whom we cannot decrypt is told with the reason, by stream", async () => {
  const world = new World()
  const health = new DecryptHealth(world.path)
  health.announce("0", "ada", 1, 0)
  health.announce("1", "bob", 0, 0)
  assert.deepEqual(health.troubles(41, 4.9), [])
  world.failing = unknown(false)
  world.time = 4
  await world.path.receive("0", "video", KEY, 0)
  world.time = 7
  await world.path.receive("0", "video", KEY, 0)
  assert.deepEqual(health.troubles(41, 7), [
    { owner: "ada", kidContext: 1, reason: "no key", epoch: 41, sinceS: 3 },
    { owner: "bob", kidContext: 0, reason: "nothing received", epoch: null, sinceS: 7 },
  ])
  world.failing = badTag
  await world.path.receive("0", "video", KEY, 0)
  assert.equal(health.troubles(41, 7)[0]!.reason, "bad tag")
  world.failing = undefined
  await world.path.receive("0", "video", KEY, 0)
  health.announce("1", null, null, 8)
  assert.deepEqual(health.troubles(41, 8), [])
})

test("the epoch of a key id is the nearest that has its bits", () => {
  assert.equal(nearestEpoch(0x129n, 41), 41)
  assert.equal(nearestEpoch(0x12an, 41), 42)
  assert.equal(nearestEpoch(0x1ffn, 256), 255)
  assert.equal(nearestEpoch(0x100n, 255), 256)
  assert.equal(nearestEpoch(0x1ffn, 0), 255)
})

test("a stream that the server goes on naming as another's is found out, once for each sender", async () => {
  const world = new World()
  const health = new DecryptHealth(world.path)
  for (const time of [0, 0.5, 1, 1.5, 2]) {
    world.time = time
    if (time === 0) world.path.announce("0", "eve", 1)
    await world.path.receive("0", "video", KEY, 0)
  }
  const [found, ...more] = health.newlyMisnamed(2)
  assert.deepEqual([found?.announced?.owner, found?.actual.owner, more.length], ["eve", "ada", 0])
  assert.deepEqual(health.newlyMisnamed(2), [])
})

test("announcements without end are cut", () => {
  const world = new World()
  const health = new DecryptHealth(world.path)
  for (let number = 0; number < 3 * MAX_SLOTS; number++) {
    world.path.announce(`m${number}`, `p${number}`, 1)
    health.announce(`m${number}`, `p${number}`, 1, 0)
  }
  assert.deepEqual([world.path.slots().size, health.troubles(0, 9).length], [MAX_SLOTS, MAX_SLOTS])
})

function person(leaf: number, participantId: string): Person {
  return { leaf, name: participantId, participantId, signatureKey: own(Uint8Array.of(leaf)), certificates: [] }
}

test("the group and the server's list are held against each other", () => {
  const roster = new Roster()
  roster.setGroup(1, [person(0, "ada"), person(1, "bob")], 0)
  roster.setRoom([["ada", "member"], ["eve", "member"], ["max", "waiting"]], 0)
  assert.equal(roster.standing("ada", 0), "aligned")
  assert.equal(roster.standing("bob", 4.9), "pending")
  assert.equal(roster.nextChange(0), 5)
  assert.equal(roster.standing("bob", 5), "in the group but not in the room")
  assert.equal(roster.standing("eve", 5), "in the room but not in the group")
  assert.equal(roster.standing("max", 5), "in the room but not in the group")
  assert.equal(roster.standing("nobody", 5), "unknown to both")
  assert.deepEqual([...roster.departed(5)], ["bob"])
  roster.setPresence("bob", "away", 6)
  assert.equal(roster.standing("bob", 6), "aligned")
  roster.setGroup(2, [person(0, "ada")], 7)
  assert.deepEqual(roster.timeline.map(({ epoch, joined, person: { name } }) => [epoch, joined, name]), [
    [1, true, "ada"],
    [1, true, "bob"],
    [2, false, "bob"],
  ])
})

test("who is not confirmed by a majority is isolated, whatever is kept for later", () => {
  const beats = new Heartbeats()
  beats.setGroup(1, [1, 2], 0)
  assert.ok(beats.isDue(0))
  assert.equal(beats.isIsolated(15), false)
  assert.equal(beats.isIsolated(15.1), true)
  beats.confirm(1, 1, 20, 100)
  assert.equal(beats.isIsolated(30), false)
  // Sent at 105 of its clock, delivered a minute late: it confirms the time when it was sent.
  beats.confirm(1, 1, 85, 105)
  assert.equal(beats.isIsolated(85), true)
  beats.confirm(2, 0, 85, 1) // of an epoch that we were never in
  assert.equal(beats.isIsolated(85), true)
  beats.hasten(86)
  assert.ok(beats.isDue(86))
  assert.ok(!beats.isDue(86.1))
})
