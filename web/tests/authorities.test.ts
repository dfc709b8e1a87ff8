/** What is made of certificates, against the vectors that both languages read; and which authorities are trusted. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { fromHex, type Octets, own } from "../src/bytes.ts"
import { Anchors } from "../src/conference/anchors.ts"
import { anchorsOf, authoritiesOf, idsOf, trust } from "../src/conference/authorities.ts"
import { Certificate, RevocationList } from "../src/conference/x509.ts"
import { readJson } from "./vectors.ts"

const { der, cases } = readJson("tests", "vectors", "conference", "anchors.json")
const named = (names: string[]) => names.map((name) => own(fromHex(der[name])))
const none = new Anchors([], [])

function anchors(roots: string[], lists: string[]): Anchors {
  return new Anchors(
    named(roots).map((each) => new Certificate(each)),
    named(lists).map((each) => new RevocationList(each)),
  )
}

test("a verdict is that of its vector", async (t) => {
  assert.ok(cases.length > 150)
  for (const { what, now, roots, lists, chain, standing, authority, address } of cases) {
    await t.test(what, async () => {
      const verdict = await anchors(roots, lists).judge(named(chain), now)
      assert.deepEqual({ ...verdict, why: "" }, { standing, authority, address, why: "" }, verdict.why)
      assert.equal(verdict.why !== "", standing !== "valid", "what is wrong is said")
    })
  }
})

function pem(label: string, ...parts: readonly Octets[]): string {
  return parts
    .map((part) => Buffer.from(part).toString("base64").replace(/.{64}/g, "$&\n"))
    .map((text) => `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`)
    .join("")
}

const certificates = (...parts: readonly Octets[]) => pem("CERTIFICATE", ...parts)
const lists = (...parts: readonly Octets[]) => pem("X509 CRL", ...parts)
const caseOf = (what: string) => cases.find((each: any) => each.what === what) ?? assert.fail(what)
const rootOf = (what: string) => named(caseOf(what).roots)[0]!
const listsOf = (what: string) => named(caseOf(what).lists)
const chainOf = (what: string) => named(caseOf(what).chain)

test("roots and lists are imported, shown, and given up", async () => {
  const [old, newer] = listsOf("the newer of two lists counts")
  const [authority] = chainOf("an authority below revokes").slice(1)
  const [ofRoot, ofStaff] = listsOf("an authority below revokes")
  const file = `Subject: CN=Example\n${certificates(rootOf("good"), authority!)}${lists(old!, ofStaff!)}`
  const { records, told } = await trust("root.pem", file, none)
  assert.deepEqual(
    records.map(({ kind }) => kind),
    ["root", "list", "list"],
  )
  assert.equal(new Set(records.map(({ id }) => id)).size, 3)
  assert.match(told.join(), /Certificates of Example Org are.*list of Example Org, with 0 entries.*Staff, with 1 entry/)

  const trusted = anchorsOf(records)
  const [shown] = await authoritiesOf(trusted)
  assert.equal(shown!.name, "Example Org")
  assert.match(shown!.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  assert.equal(shown!.listEnds, new RevocationList(old!).ends)
  assert.deepEqual(idsOf(shown!), [records[0]!.id, records[1]!.id])

  const later = await trust("revoked.pem", lists(newer!), trusted)
  assert.equal(later.records[0]!.id, records[1]!.id, "it takes the older one's place")
  assert.ok(later.records[0]!.updated > records[1]!.updated)
  const then = anchorsOf([records[0]!, records[2]!, ...later.records])
  await assert.rejects(trust("revoked.pem", lists(old!), then), { message: /an older revocation list/ })
  await trust("revoked.pem", lists(ofRoot!), trusted)
})

test("a list is read strictly", () => {
  const good = own(listsOf("a numbered list")[0]!)
  for (let at = 0; at < good.length; at++) {
    const changed = own(good)
    changed[at]! ^= 0x20
    try {
      assert.deepEqual(new RevocationList(changed).der, changed)
    } catch (error) {
      assert.equal((error as Error).name, "CertificateError", `octet ${at}`)
    }
  }
  for (const broken of [good.slice(0, -1), own(Uint8Array.of(...good, 0)), own(new Uint8Array())]) {
    assert.throws(() => new RevocationList(broken), { name: "CertificateError" })
  }
})

test("what is not trusted", async () => {
  const good = rootOf("good")
  for (const [text, why] of [
    ["", /neither/],
    ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", /damaged/],
    ["-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", /damaged: It is not in base64/],
    ["-----BEGIN CERTIFICATE-----\n", /damaged/],
    [certificates(...chainOf("good")), /no root's certificate/],
    [certificates(good.slice(0, -1)), /damaged/],
    [certificates(good.map((octet, at) => (at === good.length - 1 ? octet ^ 1 : octet))), /root authority/],
    [lists(...listsOf("an empty list")), /no authority that is trusted/],
    [certificates(good) + lists(...listsOf("a stranger's list")), /no authority that is trusted/],
    [certificates(good) + lists(...listsOf("a list in its issuer's name")), /no authority that is trusted/],
    [certificates(good) + lists(...listsOf("a list of some certificates only")), /not a whole one/],
    [certificates(good) + lists(...listsOf("a delta list")), /not a whole one/],
    [certificates(rootOf("an Ed25519 authority")), /root authority/],
  ] as const) {
    await assert.rejects(trust("file.pem", text, none), { name: "CertificateError", message: why })
  }
})

test("a certificate is read in one way or not at all, and no changed one holds", async () => {
  const good = own(chainOf("good")[0]!)
  const { roots, now } = caseOf("good")
  const trusted = anchors(roots, [])
  for (let at = 0; at < good.length; at++) {
    const changed = own(good)
    changed[at]! ^= 1 << (at % 8)
    try {
      assert.deepEqual(new Certificate(changed).der, changed)
    } catch (error) {
      assert.equal((error as Error).name, "CertificateError", `octet ${at}`)
    }
    assert.notEqual((await trusted.judge([changed], now)).standing, "valid", `octet ${at}`)
  }
})

test("a stranger's constraints are not weighed, however many", async () => {
  const { roots, chain, now } = caseOf("against constraints of the authority between")
  const [leaf, between] = named(chain)
  const judge = async (...each: readonly Octets[]) => (await anchors(roots, []).judge(each, now)).why
  assert.match(await judge(leaf!, between!), /may not give a name/)
  const unsigned = own(between!)
  unsigned[unsigned.length - 1]! ^= 1
  assert.equal(await judge(leaf!, unsigned), "Its signature is not right.")
})
