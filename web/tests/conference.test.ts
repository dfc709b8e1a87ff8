/** Links, policies, end-to-end messages and security codes, against the vectors that both languages read. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { decodeBase64url, fromHex, hex, type Octets, own } from "../src/bytes.ts"
import { ClaimNews } from "../src/conference/claim_news.ts"
import { Claims } from "../src/conference/claims.ts"
import { CAMERA, SCREEN } from "../src/conference/frames.ts"
import { atConstantRate } from "../src/conference/constant_rate.ts"
import { limited } from "../src/conference/header_extensions.ts"
import { hostHash, LinkKeys, MeetingLink } from "../src/conference/link.ts"
import { decode, encode, type Message } from "../src/conference/messages.ts"
import { type FurtherHost, Policy, verifyPolicy } from "../src/conference/policy.ts"
import {
  createAdmission,
  createReturn,
  decodeKnock,
  decodePasses,
  encodeKnock,
  encodePasses,
  verifyAdmission,
  verifyReturn,
} from "../src/conference/passes.ts"
import { hostKeyOf, type Sign } from "../src/conference/signing.ts"
import { normaliseCode, securityCode } from "../src/conference/verification.ts"
import { readJson } from "./vectors.ts"

const vectors = (name: string) => readJson("tests", "vectors", "conference", `${name}.json`)

test("links", async (t) => {
  const { links, changed_links, invalid_links } = vectors("link")
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
      assert.equal(link.hasAudioLevels, each.has_audio_levels)
      assert.equal(hex(link.keys(each.passphrase).linkPsk), each.link_psk)
      assert.deepEqual(MeetingLink.parse(link.spell()).spell(), link.spell())
    })
  }
  for (const each of changed_links) {
    const link = MeetingLink.parse(each.link)
    const changed = link.changed(fromHex(each.new_link_secret))
    assert.equal(changed.spell(), each.new_link)
    assert.equal(hex(link.keys(each.passphrase).of(changed).linkPsk), each.link_psk)
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
    assert.equal(hex(opened), each.plaintext)
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

/** Of the policy in force: what the case does not say of it is as in the case's own document. */
function hostsOf(each: any): FurtherHost[] {
  const of = (hosts: any[]) =>
    hosts.map(({ grant, key }) => ({ grant: decodeBase64url(grant)!, key: decodeBase64url(key)! }))
  if (each.current_hosts !== undefined) return of(each.current_hosts)
  try {
    return [...Policy.decode(fromHex(each.signed).subarray(96)).document.hosts]
  } catch {
    return []
  }
}

test("policies", async () => {
  const all = vectors("policy")
  const none = Policy.none(all.meeting_id)
  assert.equal(hex(none.binding), all.binding_without_policy)
  assert.equal(hex(none.pskId), all.psk_id_without_policy)
  const at = (each: any) =>
    new Policy({
      ...none.document,
      version: each.current_version,
      link_generation: each.current_link_generation,
      link_secret: each.current_link_secret === null ? null : decodeBase64url(each.current_link_secret)!,
      hosts: hostsOf(each),
      ended: each.current_ended ?? false,
    })
  for (const each of [...all.policies, all.lawful]) {
    const current = at(each)
    const policy = await verifyPolicy(fromHex(each.signed), current, fromHex(all.link_host))
    if (each.binding === undefined) continue
    assert.equal(hex(policy.binding), each.binding)
    assert.equal(hex(policy.pskId), each.psk_id)
  }
  assert.ok(all.invalid.length > 30)
  for (const each of all.invalid) {
    const current = at(each)
    const verifying = verifyPolicy(fromHex(each.signed), current, fromHex(all.link_host))
    await assert.rejects(verifying, { name: each.error }, each.fault)
  }
})

test("a policy that is signed here verifies", async () => {
  const hostKey = (await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"])) as CryptoKeyPair
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", hostKey.publicKey))
  const none = Policy.none("AAAAAAAAAAAAAAAAAAAAAA")
  const signed = await new Policy({ ...none.document, locked: true, version: 1 }).sign(await hostKeyOf(hostKey))
  assert.equal((await verifyPolicy(signed, none, hostHash(publicKey))).isLocked, true)
})

async function signerWith(privateKey: string): Promise<Sign> {
  const pkcs8 = fromHex(`302e020100300506032b657004220420${privateKey}`)
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"])
  return async (text) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, text))
}

test("passes and knocks", async () => {
  const all = vectors("passes")
  for (const each of all.admissions) {
    const [pass] = decodePasses(fromHex(each.pass), 1)
    assert.ok(pass?.ground === "host")
    const [groupId, reference] = [fromHex(each.group_id), fromHex(each.reference)]
    await verifyAdmission(pass, groupId, reference, each.admitted)
    await assert.rejects(verifyAdmission(pass, groupId, reference, !each.admitted), { name: "PolicyError" })
    const sign = await signerWith(each.private_key)
    assert.deepEqual(await createAdmission(pass.host, sign, groupId, reference, each.admitted), pass)
  }
  for (const each of all.returns) {
    const [pass] = decodePasses(fromHex(each.pass), 1)
    assert.ok(pass?.ground === "return")
    const [groupId, reference] = [fromHex(each.group_id), fromHex(each.reference)]
    await verifyReturn(pass, fromHex(each.public_key), groupId, reference)
    const sign = await signerWith(each.private_key)
    assert.deepEqual(await createReturn(each.participant_id, sign, groupId, reference), pass)
  }
  for (const each of all.knocks) {
    const { claim, keyPackage } = decodeKnock(fromHex(each.knock))
    assert.equal(claim.ground, each.ground)
    assert.equal(hex(keyPackage), each.key_package)
    assert.equal(hex(encodeKnock(claim, keyPackage)), each.knock)
  }
  for (const each of all.passes) {
    const passes = decodePasses(fromHex(each.passes), each.adds)
    assert.deepEqual(passes.map(({ ground }) => ground), each.grounds)
    assert.equal(hex(encodePasses(passes)), each.passes)
  }
  assert.ok(all.invalid_passes.length && all.invalid_knocks.length && all.invalid_signatures.length)
  for (const each of all.invalid_passes) {
    assert.throws(() => decodePasses(fromHex(each.passes), each.adds), { name: each.error }, each.fault)
  }
  for (const each of all.invalid_knocks) {
    assert.throws(() => decodeKnock(fromHex(each.knock)), { name: each.error }, each.fault)
  }
  for (const each of all.invalid_signatures) {
    const [pass] = decodePasses(fromHex(each.pass), 1)
    const [groupId, reference] = [fromHex(each.group_id), fromHex(each.reference)]
    const verifying =
      pass?.ground === "return"
        ? verifyReturn(pass, fromHex(each.public_key), groupId, reference)
        : verifyAdmission(pass as never, groupId, reference, true)
    await assert.rejects(verifying, { name: each.error }, each.fault)
  }
})

test("end-to-end messages", () => {
  const { messages, ignored, invalid } = vectors("messages")
  for (const { what, message, envelope } of messages) {
    const decoded = decode(fromHex(envelope))
    assert.ok(decoded, what)
    assert.equal(hex(encode(decoded)), envelope, what)
    const hasOctets = ["policy_notice", "lobby_request", "decision"].includes(message.type)
    if (!hasOctets) assert.equal(hex(encode(message as Message)), envelope, what)
  }
  for (const { what, envelope } of ignored) assert.equal(decode(fromHex(envelope)), undefined, what)
  assert.ok(invalid.length > 50)
  for (const { fault, envelope, error } of invalid) {
    assert.throws(() => decode(own(fromHex(envelope))), { name: error }, fault)
  }
})

test("what is sent is told when it changes and to newcomers, and not too often", () => {
  const news = new ClaimNews(() => 1)
  const muted = { microphone: false, camera: true, screen: false, lasting_key: false }
  const loud = { ...muted, microphone: true }
  news.set(muted, 0)
  assert.equal(news.take(0), undefined) // to nobody
  news.setMembers(3)
  news.tellAgain(10)
  assert.equal(news.take(10), undefined)
  assert.deepEqual(news.take(10.06), muted)
  news.set(loud, 10.1)
  news.set(muted, 10.2)
  news.set(loud, 10.3)
  news.set(loud, 10.4)
  assert.equal(news.nextAt, 10.56)
  assert.deepEqual(news.take(10.56), loud)
  assert.equal(news.nextAt, Infinity)
  news.set({ ...loud }, 11)
  assert.equal(news.nextAt, Infinity)
  news.setMembers(100)
  assert.equal(news.nextAt, Infinity)
  news.set(muted, 13)
  assert.deepEqual(news.take(13), muted)
  news.setMembers(101)
  news.tellAgain(13.1)
  assert.ok(Math.abs(news.nextAt - 17.02) < 1e-9) // not all at once: 0.02 s for each of 101, after a pause
})

test("header extensions", () => {
  const { cases } = vectors("header_extensions")
  assert.ok(cases.length > 5)
  for (const { what, description, telling, limited: expected } of cases) {
    assert.equal(limited(description, new Set(telling)), expected, what)
  }
})

test("the server has no say in how sound is encoded", () => {
  const video = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
  const answer = (...lines: readonly string[]) =>
    `v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=mid:0\r\n${lines.map((line) => `${line}\r\n`).join("")}${video}`
  const opus = "a=rtpmap:111 opus/48000/2"
  const wanted = answer(opus, "a=fmtp:111 minptime=10;useinbandfec=1;cbr=1")
  for (const lines of [
    [opus],
    [opus, "a=fmtp:111 minptime=10;useinbandfec=1;cbr=1"],
    [opus, "a=fmtp:111 cbr=0;usedtx=1", "a=fmtp:111 usedtx=1"],
    ["a=fmtp:111 usedtx=1", opus, "a=FMTP:111 usedtx=1", "a= fmtp:111 usedtx=1", "a=fmtp\t111 usedtx=1"],
    ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111", opus],
    [opus, "a=rtpmap:112 OPUS/48000/2", "a=RTPMAP:113 opus/48000/2", "a=rtpmap 114 opus/48000/2", "a=rtpmap:115 opus/48000"],
  ]) {
    assert.equal(atConstantRate(answer(...lines)), wanted, lines.join())
  }
  const lines = (text: string) => text.replaceAll("\r\n", "\n")
  assert.equal(lines(atConstantRate(lines(answer(opus, "a=fmtp:111 usedtx=1")))), lines(wanted))
  assert.equal(atConstantRate(wanted.replace("m=audio", "m= video").replace("cbr=1", "cbr=0")), wanted.replace("m=audio", "m= video"))
})

test("what is claimed shows at once, and hides nothing that arrives", () => {
  const claims = new Claims()
  const nothing = { microphone: false, camera: true, screen: false, lasting_key: true }
  const bob = { participantId: "bob", signatureKey: own(new Uint8Array(32)) }
  assert.equal(claims.isMuted("bob", undefined, 10), false)
  assert.equal(claims.hasEnded("bob", SCREEN, undefined), false)
  claims.take(bob, nothing, 10)
  assert.deepEqual(claims.of("bob"), nothing)
  assert.equal(claims.isMuted("bob", 10.9, 10.9), true) // it was under way
  assert.equal(claims.isMuted("bob", 11.1, 11.1), false)
  claims.take(bob, { ...nothing }, 11.2) // saying it again brings no grace
  assert.equal(claims.isMuted("bob", 11.1, 14), false)
  assert.equal(claims.isMuted("bob", 11.1, 14.2), true)
  assert.equal(claims.hasEnded("bob", SCREEN, 10.5), true)
  assert.equal(claims.hasEnded("bob", SCREEN, 11.1), false)
  assert.equal(claims.hasEnded("bob", CAMERA, 10.5), false)
  claims.keepOnly(new Set(["ada"]))
  assert.equal(claims.of("bob"), undefined)
  assert.equal(claims.isMuted("bob", undefined, 20), false)
})

test("only who says so has a key for this meeting only", () => {
  const claims = new Claims()
  const lasting = { microphone: true, camera: true, screen: false, lasting_key: true }
  const fleeting = { ...lasting, lasting_key: false }
  const people = Array.from({ length: 4098 }, (_, at) => {
    const signatureKey = own(new Uint8Array([...new Uint8Array(30), at >> 8, at & 255]))
    return { participantId: `${at}`, signatureKey, certificates: [] as Octets[] }
  })
  const [ada, bob, ...others] = people as [(typeof people)[0], ...typeof people]
  assert.equal(claims.isLasting(bob!), true) // before it says anything
  claims.take(ada, lasting, 1)
  claims.take(bob!, fleeting, 1)
  assert.deepEqual([ada, bob!].map((each) => claims.isLasting(each)), [true, false])
  assert.equal(claims.isLasting({ ...bob!, certificates: [own(new Uint8Array(1))] }), true) // whatever it says
  claims.keepOnly(new Set())
  assert.equal(claims.isLasting(bob!), false) // a comparison can be marked when it is gone
  claims.take(bob!, lasting, 2)
  assert.equal(claims.isLasting(bob!), true)
  claims.take(bob!, fleeting, 3)
  for (const each of others) claims.take(each, fleeting, 4) // 4097 now, and no meeting has as many
  assert.deepEqual(people.filter((each) => claims.isLasting(each)), [ada, bob])
})

test("security codes", async () => {
  const { codes, typed } = vectors("security_code")
  for (const each of codes) {
    const code = await securityCode({
      groupId: fromHex(each.group_id),
      epoch: each.epoch,
      epochAuthenticator: fromHex(each.epoch_authenticator),
    })
    assert.deepEqual(code, { code: each.code, qr: each.qr }, each.what)
  }
  for (const each of typed) assert.equal(normaliseCode(each.typed), each.normalised, each.typed)
})
