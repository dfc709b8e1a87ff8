/** A leaf key that lasts: signed with by a handle, and what becomes of who comes back with it too soon. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { decodeBase64url, encodeBase64url, type Octets, random, utf8 } from "../src/bytes.ts"
import { MeetingLink } from "../src/conference/link.ts"
import { decodeKnock, verifyReturn } from "../src/conference/passes.ts"
import { type OwnKeys, Session } from "../src/conference/session.ts"
import { createKeyPair, hostKeyOf, keptKeyPair } from "../src/conference/signing.ts"
import { Group } from "../src/mls/group.ts"
import { checkedKeyPackage, createKeyPackage, encodePackage } from "../src/mls/key_package.ts"
import { loadSuite, signedBy } from "../src/mls/suite.ts"

const nowS = Date.now() / 1000
const psk = { id: utf8("psk"), secret: random(32) }

for (const id of [1, 83]) {
  test(`suite ${id}: who signs by a handle is a member like others`, async () => {
    const pair = await createKeyPair()
    assert.equal(pair.privateKey.extractable, false)
    const signer = await hostKeyOf(pair)
    const suite = await loadSuite(id)
    const own = signedBy(suite, signer)
    const bundleOf = async (by: typeof suite, name: string) =>
      createKeyPackage(by, utf8(name), random(16), await by.signature.keygen(), { nowS, lastsS: 3600 })
    const adas = await bundleOf(suite, "Ada")
    const bobs = await bundleOf(own, "Bob")
    let ada = await Group.create(suite, random(16), adas)
    const { keyPackage } = await checkedKeyPackage(suite, encodePackage(bobs), nowS)
    const does = { add: [keyPackage], remove: [], psk, authenticatedData: new Uint8Array() }
    const added = await ada.commit(does, 0)
    ada = added.group
    const bob = await Group.join(own, added.welcome!, bobs, psk, () => undefined)
    assert.deepEqual(ada.members[1]!.signatureKey, signer.key)
    assert.deepEqual((await ada.decrypt(await bob.encrypt(utf8("hello")))).data, utf8("hello"))
    const rotated = await bob.commit({ add: [], remove: [], psk: undefined, authenticatedData: new Uint8Array() }, 0)
    const received = await ada.process(rotated.message, [], 0)
    assert.deepEqual(received.group?.epochAuthenticator, rotated.group.epochAuthenticator)
  })
}

const link = MeetingLink.create("https://meet.example", encodeBase64url(random(16)), random(32), { suite: 1 })

async function knocking(ownKeys: OwnKeys, groupId: Octets) {
  const start = { now: 0, wallTimeS: nowS }
  const session = await Session.create(link, link.keys(null), "Bob", start, ownKeys)
  session.connected(start)
  const participantId = encodeBase64url(random(16))
  await session.receive(
    {
      type: "joined",
      participant_id: participantId,
      resume_token: random(16),
      grace_s: 10,
      generation: 1,
      group_id: groupId,
      next_epoch: 3,
      term: 1,
      leader: null,
      participants: [],
    },
    0,
  )
  return { session, participantId }
}

const said = (session: Session) => session.take().messages.map(({ type }) => type)

test("who comes back too soon with a key that lasts tries again for a while; who has none does not", async () => {
  const lastingKey = await hostKeyOf(await createKeyPair())
  const { session } = await knocking({ lastingKey }, random(16))
  assert.deepEqual(said(session), ["join", "knock"])
  for (const turn of [0, 1, 2]) {
    await session.receive({ type: "dismissed", reason: "policy" }, 10 * turn)
    assert.equal(session.phase, "waiting to be let in")
    assert.equal(session.nextTimer(), 10 * turn + 5)
    await session.handleTimer(10 * turn + 4)
    assert.deepEqual(said(session), [])
    await session.handleTimer(10 * turn + 5)
    assert.deepEqual(said(session), ["knock"])
  }
  await session.receive({ type: "dismissed", reason: "policy" }, 40)
  assert.equal(session.phase, "left")

  const { session: another } = await knocking({}, random(16))
  await another.receive({ type: "dismissed", reason: "policy" }, 0)
  assert.equal(another.phase, "left")
})

test("who comes back after a crash claims the leaf that it had in this group, and in no other", async () => {
  const lastingKey = await hostKeyOf(await createKeyPair())
  const former = { groupId: random(16), participantId: encodeBase64url(random(16)) }
  for (const groupId of [former.groupId, random(16)]) {
    const { session, participantId } = await knocking({ lastingKey, former }, groupId)
    const knock = session.take().messages.find((each) => each.type === "knock")!
    const { claim, keyPackage } = decodeKnock(await link.keys(null).openKnock(participantId, knock.knock))
    const { reference, member } = await checkedKeyPackage(await loadSuite(1), keyPackage, nowS)
    assert.deepEqual(member.signatureKey, lastingKey.key)
    if (groupId !== former.groupId) assert.equal(claim.ground, "link")
    else {
      assert.ok(claim.ground === "return" && claim.participantId === former.participantId)
      await verifyReturn(claim, lastingKey.key, groupId, decodeBase64url(reference)!)
    }
  }
})

test("what was kept as a pair of keys is one that this page made, or none", async () => {
  const pair = await createKeyPair()
  assert.deepEqual(keptKeyPair(pair), { ...pair })
  const extractable = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair
  const other = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"])) as CryptoKeyPair
  const { privateKey, publicKey } = pair
  const swapped = { privateKey: publicKey, publicKey: privateKey }
  for (const damaged of [undefined, null, "", {}, { privateKey }, { privateKey, publicKey: {} }, swapped, extractable, other]) {
    assert.equal(keptKeyPair(damaged), undefined)
  }
})
