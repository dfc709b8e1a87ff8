/** RFC 9605 against the working group's vectors, and when keys come, change and go. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { concat, fromHex, hex, utf8 } from "../src/bytes.ts"
import { EpochKeys } from "../src/conference/epoch_keys.ts"
import { cipherSuite } from "../src/sframe/ciphersuite.ts"
import type { EpochSecret } from "../src/sframe/epochs.ts"
import { kidOf, kidParts } from "../src/sframe/epochs.ts"
import { decodeHeader, encodeHeader } from "../src/sframe/header.ts"
import { deriveKeySalt, ReceivingKey, SendingKey } from "../src/sframe/keys.ts"
import { ReplayWindow } from "../src/sframe/replay.ts"
import { read } from "./vectors.ts"

// Numbers up to 2^64 - 1: read as text.
const vectors = JSON.parse(
  read("..", "shared", "vectors", "sframe", "test-vectors.json").replace(/: (\d+)/g, ': "$1"'),
)

test("headers of Appendix C.1", () => {
  assert.equal(vectors.header.length, 289)
  for (const { kid, ctr, encoded } of vectors.header) {
    assert.equal(hex(encodeHeader(BigInt(kid), BigInt(ctr))), encoded)
    const end = encoded.length / 2
    assert.deepEqual(decodeHeader(fromHex(encoded)), { kid: BigInt(kid), ctr: BigInt(ctr), end })
    assert.throws(() => decodeHeader(fromHex(encoded).subarray(0, -1)), { refusal: "malformed" })
  }
  for (const longer of ["8001", "0801", "900001", "8007", "0900ff"]) {
    assert.throws(() => decodeHeader(fromHex(longer)), { refusal: "malformed" }, longer)
  }
})

test("derivation and sealing of Appendix C.3, the suites of a meeting", async () => {
  const ours = vectors.sframe.filter((each: any) => ["4", "5"].includes(each.cipher_suite))
  assert.equal(ours.length, 2)
  for (const each of ours) {
    const suite = cipherSuite(Number(each.cipher_suite))
    const kid = BigInt(each.kid)
    const { key, salt } = deriveKeySalt(suite, kid, fromHex(each.base_key))
    assert.equal(hex(key), each.sframe_key)
    assert.equal(hex(salt), each.sframe_salt)
    const sending = new SendingKey(suite, kid, fromHex(each.base_key), BigInt(each.ctr))
    const metadata = fromHex(each.metadata)
    const sealed = await sending.encrypt(fromHex(each.pt), metadata)
    assert.equal(hex(sealed), each.ct)
    const receiving = new ReceivingKey(suite, kid, fromHex(each.base_key))
    const frame = concat(metadata, sealed)
    const opened = await receiving.open(frame, metadata.length, decodeHeader(frame, metadata.length))
    assert.equal(hex(opened), each.metadata + each.pt)
  }
})

test("the replay window", () => {
  const window = new ReplayWindow()
  for (const ctr of [0n, 5n, 3n]) {
    assert.ok(window.isFresh(ctr))
    window.accept(ctr)
    assert.ok(!window.isFresh(ctr))
  }
  window.accept(2n ** 63n)
  assert.ok(!window.isFresh(4n))
  assert.ok(window.isFresh(2n ** 63n - 255n))
  assert.ok(!window.isFresh(2n ** 63n - 256n))
})

test("the layout of KIDs", () => {
  for (const leafCount of [1, 2, 3, 4, 5, 8, 9, 1000]) {
    for (const context of [0, 3]) {
      const kid = kidOf(leafCount, context, leafCount - 1, 0x1234)
      assert.deepEqual(kidParts(leafCount, kid), { context: BigInt(context), senderIndex: leafCount - 1 })
      assert.equal(kid & 0xffn, 0x34n)
    }
  }
  assert.equal(kidOf(1, 1, 0, 0), 0x100n)
  assert.equal(kidOf(5, 1, 0, 0), 0x800n)
})

const baseKey = (epoch: number) => fromHex(epoch.toString(16).padStart(32, "0"))

function secret(epoch: number, ownLeaf: number, blanks: number[] = []): EpochSecret {
  return { epoch, baseKey: baseKey(epoch), leafCount: 4, ownLeaf, blankLeaves: new Set(blanks) }
}

function member(ownLeaf: number, switches: number[] = []): EpochKeys {
  const keys = new EpochKeys(0x0004, (epoch) => switches.push(epoch))
  keys.adopt(secret(0, ownLeaf), false, 0)
  return keys
}

const frame = utf8("a frame of some sort")

test("a frame opens once, as its sender's, and no other way", async () => {
  const [alice, bob] = [member(0), member(1)]
  const sealed = await alice.seal(1, frame, 1)
  assert.equal(sealed[0], frame[0])
  const opened = await bob.open(sealed, 1, 0)
  assert.deepEqual([opened.frame, opened.epoch, opened.senderIndex, opened.kidContext], [frame, 0, 0, 1])
  await assert.rejects(bob.open(sealed, 1, 0), { refusal: "replayed" })
  await assert.rejects(alice.open(sealed, 1, 0), { refusal: "own frame" })
  const again = await alice.seal(1, frame, 1)
  for (let at = 0; at < again.length; at++) {
    const altered = again.slice()
    altered[at]! ^= 1
    await assert.rejects(bob.open(altered, 1, 0), { name: "SFrameProtocolError" })
  }
  await bob.open(again, 1, 0)
})

test("of two copies that come at once, one opens", async () => {
  const [alice, bob] = [member(0), member(1)]
  const sealed = await alice.seal(0, frame, 0)
  const outcomes = await Promise.allSettled([bob.open(sealed, 0, 0), bob.open(sealed, 0, 0)])
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"])
})

test("frames that are sealed at once have counters of their own", async () => {
  const [alice, bob] = [member(0), member(1)]
  const sealed = await Promise.all(Array.from({ length: 20 }, () => alice.seal(0, frame, 0)))
  for (const each of sealed) await bob.open(each, 0, 0)
})

test("senders switch at once on a removal, otherwise upon the acknowledgement or the clock", () => {
  const switches: number[] = []
  const keys = member(0, switches)
  keys.adopt(secret(1, 0), true, 10)
  assert.deepEqual(switches, [0, 1])
  keys.adopt(secret(2, 0), false, 20)
  assert.equal(keys.sendingEpoch, 1)
  keys.acknowledged(1)
  assert.equal(keys.sendingEpoch, 1)
  keys.acknowledged(2)
  assert.equal(keys.sendingEpoch, 2)
  keys.adopt(secret(3, 0), false, 30)
  assert.equal(keys.nextTimer(), 30.5)
  keys.adopt(secret(4, 0), false, 30.4)
  keys.handleTimer(30.5)
  assert.equal(keys.sendingEpoch, 4)
  keys.adopt(secret(5, 0), false, 40)
  keys.adopt(secret(6, 0), false, 40.1)
  assert.equal(keys.sendingEpoch, 4)
  keys.adopt(secret(7, 0), false, 40.2)
  assert.equal(keys.sendingEpoch, 7)
  assert.throws(() => keys.adopt(secret(7, 0), false, 50), { name: "SFrameMisuseError" })
})

test("old receive keys go by the clock", async () => {
  const [alice, bob] = [member(0), member(1)]
  const [early, late, tooLate] = await Promise.all([1, 2, 3].map(() => alice.seal(0, frame, 0)))
  for (const each of [alice, bob]) each.adopt(secret(1, each === alice ? 0 : 1), true, 10)
  await bob.open(early!, 0, 10.1)
  await bob.open(await alice.seal(0, frame, 0), 0, 10.2)
  await bob.open(late!, 0, 10.6)
  await assert.rejects(bob.open(tooLate!, 0, 10.7), { refusal: "unknown key", mayCome: false })
  assert.deepEqual(bob.retained(), [0, 1])
  bob.handleTimer(15)
  assert.deepEqual(bob.retained(), [1])
  bob.erase()
  assert.deepEqual(bob.retained(), [])
  assert.throws(() => bob.seal(0, frame, 0), { name: "SFrameMisuseError" })
})

test("a frame of an epoch to come may wait, one of an epoch that is over may not", async () => {
  const [alice, bob] = [member(0), member(1)]
  alice.adopt(secret(1, 0), true, 0)
  const next = await alice.seal(0, frame, 0)
  await assert.rejects(bob.open(next, 0, 0), { refusal: "unknown key", mayCome: true })
  bob.adopt(secret(1, 1), true, 0)
  await bob.open(next, 0, 0)
  const past = new EpochKeys(0x0004, () => undefined)
  past.adopt(secret(2, 1), false, 0)
  await assert.rejects(past.open(next, 0, 0), { refusal: "unknown key", mayCome: false })
})

test("nobody sends from a blank leaf or under a context of none", async () => {
  const bob = new EpochKeys(0x0004, () => undefined)
  bob.adopt(secret(0, 1, [2]), false, 0)
  const forged = (context: number, leaf: number) =>
    new SendingKey(cipherSuite(4), kidOf(4, context, leaf, 0), baseKey(0)).seal(frame, 0)
  await assert.rejects(bob.open(await forged(0, 2), 0, 0), { refusal: "no such sender" })
  await assert.rejects(bob.open(await forged(4, 0), 0, 0), { refusal: "no such sender" })
  await bob.open(await forged(3, 0), 0, 0)
})
