/** What an authority is asked for, and a leaf that goes by what it gave. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { fromHex, random, utf8 } from "../src/bytes.ts"
import { createRequest } from "../src/conference/certificate_request.ts"
import { elements, encode, one, SEQUENCE } from "../src/conference/der.ts"
import { partsOf, REQUEST, toPem } from "../src/conference/pem.ts"
import { personOf } from "../src/conference/rules.ts"
import { createKeyPair, hostKeyOf, isSigned } from "../src/conference/signing.ts"
import { Group } from "../src/mls/group.ts"
import { checkedKeyPackage, createKeyPackage, encodePackage } from "../src/mls/key_package.ts"
import { loadSuite } from "../src/mls/suite.ts"
import { readJson } from "./vectors.ts"

test("a request says who asks, and is signed by the key", async () => {
  const key = await hostKeyOf(await createKeyPair())
  const request = await createRequest(key, " Zoë ", "zoe@example.org")
  const [info, , signature] = elements(one(request, SEQUENCE).body)
  assert.ok(await isSigned(key.key, new Uint8Array(signature!.body.subarray(1)), new Uint8Array(info!.whole)))
  assert.deepEqual(partsOf("request.csr", toPem(REQUEST, request), REQUEST), [request])
  const text = Buffer.from(request).toString("latin1")
  for (const part of [utf8("Zoë"), utf8("zoe@example.org"), key.key]) {
    assert.ok(text.includes(Buffer.from(part).toString("latin1")))
  }
  const bare = await createRequest(key, "Zoë", "")
  assert.ok(bare.length < request.length - "zoe@example.org".length)
  for (const [name, address] of [["", ""], ["é".repeat(33), ""], ["Zoë", "zoe"], ["Zoë", "zoe@exa mple"]] as const) {
    await assert.rejects(createRequest(key, name, address), { name: "MisuseError" })
  }
})

test("lengths are those of DER", () => {
  for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
    const body = new Uint8Array(size)
    assert.equal(one(encode(SEQUENCE, body), SEQUENCE).body.length, size)
  }
})

test("a leaf goes by its certificate, also when its keys were renewed", async () => {
  const { valid, key } = readJson("tests", "vectors", "conference", "certificates.json")
  const [{ chain, name }] = valid
  const certificates = chain.map(fromHex)
  const suite = await loadSuite(1)
  const lifetime = { nowS: Date.now() / 1000, lastsS: 3600 }
  const secret = Uint8Array.from({ length: 32 }, (_, at) => at) // tests/conference/certificates.py
  const bobs = { signKey: secret, publicKey: fromHex(key) }
  const bundle = await createKeyPackage(suite, utf8("somebody else"), random(16), bobs, lifetime, certificates)
  const { keyPackage, member } = await checkedKeyPackage(suite, encodePackage(bundle), lifetime.nowS)
  assert.equal(personOf(member).name, name)
  assert.deepEqual(personOf(member).certificates, certificates)

  const adas = await createKeyPackage(suite, utf8("Ada"), random(16), await suite.signature.keygen(), lifetime)
  const psk = { id: utf8("psk"), secret: random(32) }
  const nothing = { add: [], remove: [], psk: undefined, authenticatedData: new Uint8Array() }
  const founded = await Group.create(suite, random(16), adas)
  const added = await founded.commit({ ...nothing, add: [keyPackage], psk }, 0)
  const bob = await Group.join(suite, added.welcome!, bundle, psk, () => undefined)
  const renewed = await bob.commit(nothing, 0)
  const { group } = await added.group.process(renewed.message, [], 0)
  assert.deepEqual(group!.members[1]!.certificates, certificates)
  assert.equal(personOf(group!.members[1]!).name, name)
})
