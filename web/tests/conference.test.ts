/** Links, policies, end-to-end messages and security codes, against the vectors that both languages read. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { fromHex, hex, own } from "../src/bytes.ts"
import { hostHash, LinkKeys, MeetingLink } from "../src/conference/link.ts"
import { decode, encode, type Message } from "../src/conference/messages.ts"
import { Policy, verifyPolicy } from "../src/conference/policy.ts"
import { normaliseCode, securityCode } from "../src/conference/verification.ts"
import { readJson } from "./vectors.ts"

const vectors = (name: string) => readJson("tests", "vectors", "conference", `${name}.json`)

test("links", async (t) => {
  const { links, invalid_links } = vectors("link")
  for (const each of links) {
    await t.test(each.what, () => {
      const link = MeetingLink.parse(each.link)
      assert.equal(link.server, each.server)
      assert.equal(link.meetingId, each.meeting_id)
      assert.equal(link.suite, each.suite)
      assert.equal(hex(link.host), each.host)
      assert.equal(hex(hostHash(fromHex(each.host_public_key))), each.host)
      assert.equal(link.publicFragment, each.public_fragment)
      assert.equal(link.hasPassphrase, each.has_passphrase)
      assert.equal(hex(link.keys(each.passphrase).linkPsk), each.link_psk)
      assert.deepEqual(MeetingLink.parse(link.spell()).spell(), link.spell())
    })
  }
  assert.ok(invalid_links.length > 30)
  for (const { fault, link, error } of invalid_links) {
    assert.throws(() => MeetingLink.parse(link), { name: error }, fault)
  }
})

test("no part of a link's secret is in its errors or its inspection", () => {
  const link = MeetingLink.parse(vectors("link").links[0].link)
  const secret = link.spell().split(".").at(-1)!
  assert.ok(!JSON.stringify(link).includes(secret))
  assert.throws(() => MeetingLink.parse(`${link.spell()}!`), (error: Error) => !error.message.includes(secret))
})

test("knocks and sealed policies", async () => {
  const { knocks, invalid_knocks, sealed_policies, invalid_sealed_policies } = vectors("link")
  const keys = (each: any) => new LinkKeys(each.meeting_id, fromHex(""), fromHex(each.knock_key))
  for (const each of knocks) {
    const opened = await keys(each).openKnock(each.participant_id, fromHex(each.knock))
    assert.equal(hex(opened), each.key_package)
    const again = await keys(each).sealKnock(each.participant_id, opened)
    assert.deepEqual(await keys(each).openKnock(each.participant_id, again), opened)
  }
  for (const each of invalid_knocks) {
    const opening = keys(each).openKnock(each.participant_id, fromHex(each.knock))
    await assert.rejects(opening, { name: each.error }, each.fault)
  }
  for (const each of sealed_policies) {
    const opened = await keys(each).openPolicy(fromHex(each.group_id), each.epoch, fromHex(each.sealed_policy))
    assert.equal(hex(opened), each.signed_policy)
  }
  for (const each of invalid_sealed_policies) {
    const opening = keys(each).openPolicy(fromHex(each.group_id), each.epoch, fromHex(each.sealed_policy))
    await assert.rejects(opening, { name: each.error }, each.fault)
  }
})

test("policies", async () => {
  const all = vectors("policy")
  const none = Policy.none(all.meeting_id)
  assert.equal(hex(none.binding), all.binding_without_policy)
  assert.equal(hex(none.pskId), all.psk_id_without_policy)
  const at = (version: number, linkGeneration: number) =>
    version === 0
      ? none
      : new Policy({ ...none.document, version, link_generation: linkGeneration })
  for (const each of [...all.policies, all.lawful]) {
    const current = at(each.current_version, each.current_link_generation)
    const policy = await verifyPolicy(fromHex(each.signed), current, fromHex(all.link_host))
    if (each.binding === undefined) continue
    assert.equal(hex(policy.binding), each.binding)
    assert.equal(hex(policy.pskId), each.psk_id)
  }
  assert.ok(all.invalid.length > 30)
  for (const each of all.invalid) {
    const current = at(each.current_version, each.current_link_generation)
    const verifying = verifyPolicy(fromHex(each.signed), current, fromHex(all.link_host))
    await assert.rejects(verifying, { name: each.error }, each.fault)
  }
})

test("a policy that is signed here verifies", async () => {
  const hostKey = (await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])) as CryptoKeyPair
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", hostKey.publicKey))
  const none = Policy.none("AAAAAAAAAAAAAAAAAAAAAA")
  const signed = await new Policy({ ...none.document, locked: true, version: 1 }).sign(hostKey)
  assert.equal((await verifyPolicy(signed, none, hostHash(publicKey))).isLocked, true)
})

test("end-to-end messages", () => {
  const { messages, ignored, invalid } = vectors("messages")
  for (const { what, message, envelope } of messages) {
    const decoded = decode(fromHex(envelope))
    assert.ok(decoded, what)
    assert.equal(hex(encode(decoded)), envelope, what)
    if (message.type !== "policy_notice") assert.equal(hex(encode(message as Message)), envelope, what)
  }
  for (const { what, envelope } of ignored) assert.equal(decode(fromHex(envelope)), undefined, what)
  assert.ok(invalid.length > 50)
  for (const { fault, envelope, error } of invalid) {
    assert.throws(() => decode(own(fromHex(envelope))), { name: error }, fault)
  }
})

test("security codes", async () => {
  const { codes, typed } = vectors("security_code")
  for (const each of codes) {
    const code = await securityCode({
      groupId: fromHex(each.group_id),
      epoch: each.epoch,
      epochAuthenticator: fromHex(each.epoch_authenticator),
    })
    assert.equal(code, each.code, each.what)
  }
  for (const each of typed) assert.equal(normaliseCode(each.typed), each.normalised, each.typed)
})
