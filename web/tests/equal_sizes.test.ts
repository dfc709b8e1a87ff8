/** Packets of sound that tell nothing by their size, and are the same sound. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { own, type Octets } from "../src/bytes.ts"
import { EqualSizes } from "../src/conference/equal_sizes.ts"

/** What a decoder makes of it (RFC 6716 §3.2): configuration, how many frames, whether lengths follow, their octets. */
function read(packet: Octets): [number, number, boolean, number[]] {
  const [first = 0, second = 0] = packet
  const code = first & 3
  if (code < 3) return [first >> 2, code === 0 ? 1 : 2, code === 2, [...packet.subarray(1)]]
  let at = 2
  let padding = 0
  for (let more = (second & 0x40) > 0; more; ) {
    const length = packet[at++] ?? assert.fail("the packet ends in the length of its padding")
    more = length === 255
    padding += more ? 254 : length
  }
  assert.ok(at + padding <= packet.length)
  assert.ok(packet.subarray(packet.length - padding).every((octet) => octet === 0))
  return [first >> 2, second & 0x3f, (second & 0x80) > 0, [...packet.subarray(at, packet.length - padding)]]
}

function packetOf(length: number, code: number): Octets {
  const packet = own(Uint8Array.from({ length }, (_, at) => (at * 7 + 1) % 256))
  if (length > 0) packet[0] = (30 << 3) | code
  if (length > 1 && code === 3) packet[1] = 0x83
  return packet
}

test("packets of every size and kind become one size, and the same sound", () => {
  for (const code of [0, 1, 2, 3]) {
    const sizes = new EqualSizes()
    assert.equal(sizes.padded(packetOf(1270, code)).length, 1280)
    for (let length = 2; length <= 1280; length++) {
      const packet = packetOf(length, code)
      const padded = sizes.padded(packet)
      assert.equal(padded.length, 1280)
      assert.deepEqual(read(padded), read(packet))
    }
  }
})

test("the size only grows, and by steps", () => {
  const sizes = new EqualSizes()
  const seen = [3, 80, 81, 20, 133, 160, 161, 1].map((length) => sizes.padded(packetOf(length, 0)).length)
  assert.deepEqual(seen, [80, 80, 160, 160, 160, 160, 240, 240])
})

test("equal packets stay as they are", () => {
  const packet = packetOf(80, 0)
  assert.equal(new EqualSizes().padded(packet), packet)
})

test("what is no packet, or padded already, is let be", () => {
  const sizes = new EqualSizes()
  for (const packet of [[], [0xf3], [0xf3, 0x41, 1, 5, 0]]) {
    const octets = own(Uint8Array.from(packet))
    assert.equal(sizes.padded(octets), octets)
  }
})
