/** How well somebody is known, against the vectors that both languages read; and what is kept of it. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { fromHex, own } from "../src/bytes.ts"
import { decodeRecord, encodeRecord, KnownKeys, likeness } from "../src/conference/known_keys.ts"
import { isAlarming, isVerified, type Level, recognise, type Recognition, remarkOf, shown } from "../src/conference/recognition.ts"
import { readJson } from "./vectors.ts"

const vectors = readJson("tests", "vectors", "conference", "recognition.json")

test("levels, and what is shown before a name", async (t) => {
  assert.ok(vectors.cases.length > 15)
  for (const each of vectors.cases) {
    await t.test(each.what, () => {
      const known = new KnownKeys(
        each.known.map(({ key, name, compared_at }: any) => ({ key: fromHex(key), name, comparedAt: compared_at })),
      )
      const verdict =
        each.certificate === null
          ? undefined
          : { standing: each.certificate, authority: "Example Org", address: "", why: "" }
      const found = recognise({ name: each.name, signatureKey: fromHex(each.key) }, known, { verdict })
      assert.equal(found.level, each.level)
      assert.equal(shown(found), each.shown)
      assert.equal(found.comparedAt ?? null, each.compared_at)
      assert.equal(remarkOf(found), each.remark)
    })
  }
})

test("names that people take for one another", () => {
  for (const each of vectors.likeness) assert.equal(likeness(each.name), each.likeness)
})

test("a name is shown behind a sign that no name can make", () => {
  const levels: Level[] = ["you", "verified by certificate", "compared before", "new", "certificate not valid", "changed key"]
  for (const name of ["✔ Alice Jones", "Alice Jones ✔ verified by Example Org", "⚠", "~"]) {
    for (const level of levels) {
      const found: Recognition = { level, name, callsItself: name, authority: "", address: "", comparedAt: 0, why: "" }
      assert.equal(shown(found).startsWith("✔"), isVerified(found))
      assert.equal(shown(found).startsWith("⚠ ~"), isAlarming(found))
      assert.equal(shown(found).endsWith(name), true)
    }
  }
})

test("we ourselves are never an alarm", () => {
  const known = new KnownKeys([{ key: own(new Uint8Array(32)), name: "Ada", comparedAt: 1 }])
  const ours = recognise({ name: "Ada", signatureKey: own(new Uint8Array(32).fill(1)) }, known, { isUs: true })
  assert.equal(ours.level, "you")
})

test("a record is read strictly", () => {
  const whole = { key: own(new Uint8Array(32)), name: "Ada", comparedAt: 1_800_000_000 }
  assert.deepEqual(decodeRecord(encodeRecord(whole)), whole)
  const record = { key: whole.key, name: "Ada", compared_at: 1 }
  const damaged: unknown[] = [
    undefined,
    null,
    "Ada",
    [],
    { key: whole.key, name: "Ada" },
    { ...record, more: 1 },
    { ...record, key: own(new Uint8Array(31)) },
    { ...record, key: "AAAA" },
    { ...record, key: whole.key.buffer },
    { ...record, name: 1 },
    { ...record, name: "x".repeat(65) },
    { ...record, compared_at: -1 },
    { ...record, compared_at: 1.5 },
    { ...record, compared_at: 2 ** 53 },
    { ...record, compared_at: NaN },
    { ...record, compared_at: "1" },
  ]
  for (const each of damaged) assert.equal(decodeRecord(each), undefined)
})

test("a date that is none is no failure", () => {
  const known = new KnownKeys([{ key: own(new Uint8Array(32)), name: "Ada", comparedAt: 2 ** 53 - 1 }])
  assert.equal(remarkOf(recognise({ name: "Ada", signatureKey: own(new Uint8Array(32)) }, known)), "compared before")
})
