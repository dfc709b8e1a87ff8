/** docs/protocol.md, "Signaling messages": what is a message, what is none, and why not. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { MessageError } from "../src/signaling/errors.ts"
import { decodeClient, decodeServer, encodeClient, encodeServer } from "../src/signaling/messages.ts"
import { list, read, readJson } from "./vectors.ts"

const folder = ["tests", "vectors", "signaling"]
const decoders = { client: decodeClient, server: decodeServer }

function encodeBack(direction: "client" | "server", text: string): string {
  return direction === "client" ? encodeClient(decodeClient(text)) : encodeServer(decodeServer(text))
}

for (const direction of ["client", "server"] as const) {
  test(`every ${direction} example decodes and encodes back`, () => {
    const files = list(...folder, direction)
    assert.ok(files.length > 10)
    for (const file of files) {
      const text = read(...folder, direction, file)
      assert.equal(decoders[direction](text).type, file.replace(".json", ""))
      assert.deepEqual(JSON.parse(encodeBack(direction, text)), JSON.parse(text), file)
      const other = direction === "client" ? decodeServer : decodeClient
      assert.throws(() => other(text), { name: "MessageError", code: "unknown_type" })
    }
  })

  test(`every field of every ${direction} message is needed and typed`, () => {
    for (const file of list(...folder, direction)) {
      const example = readJson(...folder, direction, file)
      for (const name of Object.keys(example).filter((each) => each !== "type")) {
        const { [name]: _, ...without } = example
        assert.throws(() => decoders[direction](JSON.stringify(without)), { code: "missing_field" }, file)
        for (const wrong of [true, {}, "é", { type: 1 }, [[]], [null]]) {
          const faulty = JSON.stringify({ ...example, [name]: wrong })
          assert.throws(() => decoders[direction](faulty), MessageError, `${file} ${name} ${JSON.stringify(wrong)}`)
        }
      }
    }
  })
}

test("every faulty text is refused for its fault", () => {
  const files = list(...folder, "invalid")
  assert.ok(files.length > 50)
  for (const file of files) {
    const { direction, code, text } = readJson(...folder, "invalid", file)
    assert.throws(() => decoders[direction as "client" | "server"](text), { name: "MessageError", code }, file)
  }
})

test("a name of an object's prototype is a field like any other", () => {
  assert.throws(() => decodeServer('{"type":"closed","__proto__":1}'), { code: "missing_field" })
  assert.throws(() => decodeServer('{"type":"constructor"}'), { code: "unknown_type" })
})
