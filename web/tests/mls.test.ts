/** Groups upon ts-mls, as a meeting uses them. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { equal, own, random, utf8 } from "../src/bytes.ts"
import { Group, type Psk } from "../src/mls/group.ts"
import { checkedKeyPackage, createKeyPackage, encodePackage, type KeyPackageBundle } from "../src/mls/key_package.ts"
import { type CiphersuiteImpl, loadSuite } from "../src/mls/suite.ts"
import { warmUp } from "../src/mls/warm_up.ts"

const psk: Psk = { id: utf8("conclave link psk"), secret: random(32) }
const binding = random(37)
const nowS = Date.now() / 1000

async function bundle(suite: CiphersuiteImpl, name: string): Promise<KeyPackageBundle> {
  const keys = await suite.signature.keygen()
  return createKeyPackage(suite, utf8(name), random(16), keys, { nowS, lastsS: 3600 })
}

async function add(suite: CiphersuiteImpl, leader: Group, others: Group[], names: string[], remove: number[] = []) {
  const bundles = await Promise.all(names.map((name) => bundle(suite, name)))
  const add = bundles.map(({ keyPackage }) => keyPackage)
  const pending = await leader.commit({ add, remove, psk, authenticatedData: binding }, 0)
  const followed = await Promise.all(others.map((each) => each.process(pending.message, [psk], 0)))
  const joined = await Promise.all(
    bundles.map((each) => Group.join(suite, pending.welcome!, each, psk, () => undefined)),
  )
  return { leader: pending.group, followed, joined }
}

async function agree(suite: CiphersuiteImpl, groups: Group[]): Promise<void> {
  const [first, ...others] = groups
  for (const each of others) {
    assert.ok(equal(each.epochAuthenticator, first!.epochAuthenticator))
    assert.deepEqual(await each.export("l", utf8("c"), 32), await first!.export("l", utf8("c"), 32))
    assert.deepEqual(each.members, first!.members)
  }
  const said = utf8(`in ${suite.name}`)
  const message = await first!.encrypt(said)
  for (const each of others) {
    assert.deepEqual(await each.decrypt(message), { epoch: first!.epoch, sender: first!.ownLeaf, data: said })
    await assert.rejects(each.decrypt(message), { name: "MLSError" })
  }
}

for (const id of [1, 83]) {
  test(`suite ${id}: add, remove, refresh, talk`, async () => {
    const suite = await loadSuite(id)
    const founder = await Group.create(suite, random(16), await bundle(suite, "Alice"))
    const one = await add(suite, founder, [], ["Bob", "Carol", "Dave"])
    const [bob, carol, dave] = one.joined as [Group, Group, Group]
    await agree(suite, [one.leader, bob, carol, dave])
    // Bob removes Dave and adds somebody in his place.
    const two = await add(suite, bob, [one.leader, carol, dave], ["Erin"], [dave.ownLeaf])
    const [alice, carolNext, daveNext] = two.followed
    assert.equal(daveNext!.group, undefined)
    assert.deepEqual(alice!.removes, [3])
    assert.deepEqual(alice!.pskIds, [psk.id])
    assert.equal(alice!.hasPath, true)
    assert.equal(alice!.sender, 1)
    assert.deepEqual(alice!.authenticatedData, binding)
    assert.deepEqual(alice!.adds.map(({ member }) => member.identity), [utf8("Erin")])
    await agree(suite, [two.leader, alice!.group!, carolNext!.group!, two.joined[0]!])
    // Carol refreshes her leaf.
    const refresh = await carolNext!.group!.commit(
      { add: [], remove: [], psk: undefined, authenticatedData: binding },
      0,
    )
    const rest = [two.leader, alice!.group!, two.joined[0]!]
    const after = await Promise.all(rest.map((each) => each.process(refresh.message, [], 0)))
    assert.ok(after.every(({ hasPath, group }) => hasPath && group !== undefined))
    assert.equal(refresh.hasPath, true)
    await agree(suite, [refresh.group, ...after.map(({ group }) => group!)])
  })
}

test("a late message of the epoch before is read until that is forgotten", async () => {
  const suite = await loadSuite(1)
  const founder = await Group.create(suite, random(16), await bundle(suite, "Alice"))
  const { leader, joined } = await add(suite, founder, [], ["Bob"])
  const late = await Promise.all(["one", "two"].map((text) => leader.encrypt(utf8(text))))
  const refresh = await leader.commit({ add: [], remove: [], psk: undefined, authenticatedData: binding }, 50)
  const { group } = await joined[0]!.process(refresh.message, [], 50)
  assert.equal((await group!.decrypt(late[0]!)).epoch, 1)
  group!.forgetPastEpochs(50)
  group!.forgetPastEpochs(51)
  await assert.rejects(group!.decrypt(late[1]!), /too long ago/)
})

test("who only adds has the keys that it had, and knows that", async () => {
  const suite = await loadSuite(1)
  const alice = await Group.create(suite, random(16), await bundle(suite, "Alice"))
  const { keyPackage } = await bundle(suite, "Bob")
  const adds = await alice.commit({ add: [keyPackage], remove: [], psk, authenticatedData: binding }, 0)
  assert.equal(adds.hasPath, false)
  const renews = await adds.group.commit({ add: [], remove: [], psk: undefined, authenticatedData: binding }, 0)
  assert.equal(renews.hasPath, true)
})

test("two commits of one epoch do not share a generation", async () => {
  const suite = await loadSuite(1)
  const founder = await Group.create(suite, random(16), await bundle(suite, "Alice"))
  const { leader, joined } = await add(suite, founder, [], ["Bob"])
  const empty = { add: [], remove: [], psk: undefined, authenticatedData: binding }
  await leader.commit(empty, 0)
  const second = await leader.commit(empty, 0)
  const { group } = await joined[0]!.process(second.message, [], 0)
  await agree(suite, [second.group, group!])
})

test("what is not valid is refused and changes nothing", async () => {
  const suite = await loadSuite(1)
  const founder = await Group.create(suite, random(16), await bundle(suite, "Alice"))
  const { leader, joined } = await add(suite, founder, [], ["Bob"])
  const bob = joined[0]!
  const commit = await leader.commit({ add: [], remove: [], psk: undefined, authenticatedData: binding }, 0)
  for (const at of [0, 5, 20, 40, 60, commit.message.length - 1]) {
    const altered = own(commit.message)
    altered[at]! ^= 1
    await assert.rejects(bob.process(altered, [], 0), { name: "MLSError" }, String(at))
  }
  await assert.rejects(bob.process(own(commit.message.subarray(0, -1)), [], 0), { name: "MLSError" })
  await assert.rejects(bob.decrypt(commit.message), { name: "MLSError" })
  const { group } = await bob.process(commit.message, [], 0)
  await agree(suite, [commit.group, group!])
})

test("a Welcome without the link's PSK, or with another, leads nowhere", async () => {
  const suite = await loadSuite(1)
  const founder = await Group.create(suite, random(16), await bundle(suite, "Alice"))
  for (const used of [undefined, { ...psk, secret: random(32) }, { ...psk, id: utf8("another") }]) {
    const newcomer = await bundle(suite, "Bob")
    const does = { add: [newcomer.keyPackage], remove: [], psk: used, authenticatedData: binding }
    const { welcome } = await founder.commit(does, 0)
    await assert.rejects(Group.join(suite, welcome!, newcomer, psk, () => undefined), { name: "MLSError" })
  }
})

test("a KeyPackage is checked before it is added", async () => {
  const suite = await loadSuite(1)
  const made = await bundle(suite, "Bob")
  const encoded = encodePackage(made)
  assert.deepEqual((await checkedKeyPackage(suite, encoded, nowS)).member.identity, utf8("Bob"))
  await assert.rejects(checkedKeyPackage(suite, encoded, nowS + 7200), /not valid now/)
  await assert.rejects(checkedKeyPackage(await loadSuite(83), encoded, nowS), { name: "MLSError" })
  for (let at = 0; at < encoded.length; at += 7) {
    const altered = own(encoded)
    altered[at]! ^= 1
    await assert.rejects(checkedKeyPackage(suite, altered, nowS), { name: "MLSError" }, String(at))
  }
})

test("warming up does all that joining needs, in either suite, and stops as soon as a meeting begins", async () => {
  for (const suite of [1, 83]) {
    let asked = 0
    await warmUp(suite, nowS, () => ++asked > 100)
    assert.equal(asked, 4)
    await warmUp(suite, nowS, () => ++asked > 4)
    assert.equal(asked, 5)
  }
})
