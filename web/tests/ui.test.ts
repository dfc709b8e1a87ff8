/** What the page concludes and says: comparisons, notices, words. */

import assert from "node:assert/strict"
import { test } from "node:test"
import { own } from "../src/bytes.ts"
import { KnownKeys } from "../src/conference/known_keys.ts"
import { recognise } from "../src/conference/recognition.ts"
import type { Person as Member, Standing } from "../src/conference/roster.ts"
import { Comparisons } from "../src/ui/comparison.ts"
import { noticesOf, type Situation } from "../src/ui/notices.ts"
import type { EpochLine, Person } from "../src/ui/scene.ts"
import { gridFor, seatsOf } from "../src/ui/stage.tsx"
import { eventOf, healthOf, howManyAreKnown, listed, pace, piecesOf, spellDuration, spellNames } from "../src/ui/words.ts"

function member(leaf: number, name: string, key = leaf): Member {
  return { leaf, name, participantId: `id ${leaf}`, signatureKey: own(new Uint8Array(32).fill(key)), certificates: [] }
}

const ada = member(0, "Ada")
const bob = member(1, "Bob")
const eve = member(2, "Eve")

function compared(): Comparisons {
  const comparisons = new Comparisons()
  comparisons.enter(7, [ada, bob], [], [], 0)
  comparisons.setCode({ epoch: 7, code: "AAAAA", qr: "" })
  comparisons.compare(7, true, "everybody", 1)
  return comparisons
}

test("a comparison vouches for who was there, and for nobody who came later", () => {
  const comparisons = compared()
  assert.equal(comparisons.cameSince(bob), false)
  comparisons.enter(8, [ada, bob, eve], [eve], [], 2)
  assert.equal(comparisons.cameSince(bob), false)
  assert.equal(comparisons.cameSince(eve), true)
  assert.deepEqual(comparisons.comparison?.joinedSince, [eve])
  assert.equal(comparisons.cameSince(member(1, "Bob", 99)), true) // the same name and leaf, another key
})

test("a comparison of an epoch that is over does not vouch for who came in between", () => {
  const comparisons = new Comparisons()
  comparisons.enter(7, [ada, bob], [], [], 0)
  comparisons.enter(8, [ada, bob, eve], [eve], [], 1)
  comparisons.compare(7, true, "everybody", 2)
  assert.equal(comparisons.cameSince(eve), true)
  assert.deepEqual(comparisons.comparison?.joinedSince, [eve])
})

test("who flickers in and out stays seen", () => {
  const comparisons = compared()
  comparisons.enter(8, [ada, bob, eve], [eve], [], 2)
  comparisons.enter(9, [ada, bob], [], [eve], 3)
  assert.deepEqual(comparisons.comparison?.joinedSince, [eve])
  assert.deepEqual(comparisons.comparison?.leftSince, [eve])
})

test("codes are kept until ten minutes after their epochs, and nothing outlives its group", () => {
  const comparisons = compared()
  comparisons.enter(8, [ada, bob], [], [], 599_000)
  comparisons.setCode({ epoch: 8, code: "BBBBB", qr: "" })
  assert.deepEqual(
    comparisons.codes(undefined).map(({ epoch }) => epoch),
    [7, 8],
  )
  comparisons.enter(9, [ada, bob], [], [], 1_198_000)
  assert.deepEqual(
    comparisons.codes(undefined).map(({ epoch }) => epoch),
    [7, 8],
  )
  comparisons.enter(10, [ada, bob], [], [], 1_200_000)
  assert.deepEqual(
    comparisons.codes(undefined).map(({ epoch }) => epoch),
    [8],
  )
  comparisons.forget()
  assert.equal(comparisons.comparison, undefined)
  assert.equal(comparisons.cameSince(eve), false)
})

test("a comparison vouches for all who were there, or for one of them", () => {
  const comparisons = new Comparisons()
  comparisons.enter(7, [ada, bob, eve], [], [], 0)
  comparisons.setCode({ epoch: 7, code: "AAAAA", qr: "" })
  const [{ people } = { people: [] }] = comparisons.codes(ada.signatureKey)
  assert.deepEqual(
    people.map(({ name }) => name),
    ["Bob", "Eve"],
  )
  assert.deepEqual(comparisons.compare(7, true, { key: people[1]!.key }, 1), [eve])
  assert.deepEqual(comparisons.compare(7, true, "everybody", 1), [ada, bob, eve])
  assert.deepEqual(comparisons.compare(8, true, "everybody", 1), [])
  assert.deepEqual(comparisons.compare(7, false, "everybody", 1), [])
})

test("who comes by a name that was compared, with another key, is a danger that cannot be dismissed", () => {
  const known = new KnownKeys([{ key: eve.signatureKey, name: "bob", comparedAt: 1_800_000_000 }])
  const people = [person("Bob", { recognition: recognise(bob, known) }), person("Ada")]
  const [found, ...more] = noticesOf(situation({ people }))
  assert.deepEqual([found?.level, found?.canBeDismissed, more.length], ["danger", false, 0])
  assert.match(found!.text, /^⚠ ~Bob: NOT THE KEY that was compared on 2027-01-15\. /)
  assert.equal(howManyAreKnown(people), undefined)
  const aware = [person("Eve", { recognition: recognise(eve, known) }), person("Ada")]
  assert.equal(howManyAreKnown(aware), "1 of 2 known")
  assert.deepEqual(noticesOf(situation({ people: aware })), [])
})

test("records that cannot be read are told of", () => {
  assert.equal(noticesOf(situation({ damaged: 1 }))[0]?.level, "warning")
})

test("codes that differ undo what was compared", () => {
  const comparisons = compared()
  comparisons.compare(7, false, "everybody", 2)
  assert.ok(comparisons.hasDiffered)
  assert.equal(comparisons.cameSince(eve), false)
})

function person(name: string, more: Partial<Person> = {}): Person {
  return {
    key: name,
    participantId: name,
    leaf: 1,
    recognition: recognise(member(1, name), KnownKeys.none),
    isSelf: false,
    isHost: false,
    cameSince: false,
    hasCertificate: false,
    standing: "aligned",
    presence: "member",
    hasHandUp: false,
    isRecording: false,
    level: 0,
    isMuted: false,
    hasCameraOff: false,
    unreadable: undefined,
    cannotReadUs: undefined,
    ...more,
  }
}

function situation(more: Partial<Situation> = {}): Situation {
  return {
    people: [],
    pausedForS: undefined,
    away: undefined,
    returning: undefined,
    hasDiffered: false,
    deviceProblem: undefined,
    waiting: [],
    isStale: false,
    joinedSinceCompared: [],
    damaged: 0,
    warnings: [],
    dismissed: new Set(),
    ...more,
  }
}

test("only what may mean a listener is a danger, and no danger can be dismissed", () => {
  const levels = (standing: Standing, presence?: string) =>
    noticesOf(situation({ people: [person("Bob", { standing, presence })] })).map(({ level }) => level)
  assert.deepEqual(levels("aligned", "member"), [])
  assert.deepEqual(levels("pending", "member"), [])
  assert.deepEqual(levels("in the group but not in the room"), ["danger"])
  const self = person("Bob", { standing: "in the group but not in the room", isSelf: true })
  assert.deepEqual(noticesOf(situation({ people: [self, person("Ada")] })).map(({ level }) => level), ["warning"])
  assert.deepEqual(levels("in the room but not in the group", "member"), ["warning"])
  assert.deepEqual(levels("in the room but not in the group", "waiting"), [])
  const ghost = situation({
    people: [person("Bob", { standing: "in the group but not in the room" })],
    pausedForS: 8,
    hasDiffered: true,
  })
  const found = noticesOf(ghost)
  assert.deepEqual(
    found.map(({ level, canBeDismissed }) => [level, canBeDismissed]),
    Array(3).fill(["danger", false]),
  )
  assert.deepEqual(noticesOf({ ...ghost, dismissed: new Set(found.map(({ key }) => key)) }), found)
})

test("others whose connection is lost are no alarm, if they are enough and for a minute at the most", () => {
  const [bob, away] = [person("Bob"), person("Bob", { presence: "away" })]
  const going = person("Bob", { presence: undefined, standing: "pending" })
  const level = (pausedForS: number, people: Person[]) =>
    noticesOf(situation({ pausedForS, people: [person("Ada", { isSelf: true }), ...people] })).find(({ text }) =>
      text.includes("your keys"),
    )?.level
  assert.deepEqual([level(6, [bob]), level(8, [bob])], ["warning", "danger"])
  assert.deepEqual([level(8, [away]), level(8, [going]), level(61, [away])], ["warning", "warning", "danger"])
  const [carol, dave] = [person("Carol"), person("Dave")]
  assert.deepEqual([level(8, [away, carol, dave]), level(8, [away, away, carol])], ["danger", "warning"])
})

test("two who bear one name are told of", () => {
  const texts = (...names: string[]) =>
    noticesOf(situation({ people: names.map((name, at) => person(name, { key: String(at) })) })).map(({ text }) => text)
  assert.deepEqual(texts("Bob", "Ada"), [])
  assert.deepEqual(texts("Bob", "Ada", " bob"), [
    "2 people here are called Bob. Names are self-chosen: ask who is who.",
  ])
})

test("keys that do not renew are told of for as long as they do not", () => {
  const [found] = noticesOf(situation({ isStale: true }))
  assert.deepEqual([found?.level, found?.canBeDismissed], ["warning", false])
})

test("what was dismissed comes again only when there is more of it", () => {
  const first = situation({ joinedSinceCompared: ["Eve"] })
  const dismissed = new Set(noticesOf(first).map(({ key }) => key))
  assert.deepEqual(noticesOf({ ...first, dismissed }), [])
  assert.equal(noticesOf({ ...first, joinedSinceCompared: ["Eve", "Mallory"], dismissed }).length, 1)
})

test("a list in which the server names thousands has all members and some of the others", () => {
  const strangers = Array.from({ length: 4000 }, (_, at) => person(`${at}`, { leaf: undefined }))
  const [first, last] = [person("Ada"), person("Bob")]
  const { people, unlisted } = listed([first, ...strangers, last])
  assert.deepEqual([people.length, unlisted], [52, 3950])
  assert.deepEqual([people[0], people.at(-1)], [first, last])
})

test("health in words", () => {
  const bobs = person("Bob", { cannotReadUs: { reason: "no key", epoch: 41, sinceS: 12.7 } })
  assert.deepEqual(healthOf(bobs), ["~Bob has been unable to decrypt you for 12 s: no key for epoch 41."])
  const deaf = person("Bob", { unreadable: { reason: "nothing received", epoch: undefined, sinceS: 65 } })
  assert.deepEqual(healthOf(deaf), ["You have been unable to decrypt ~Bob for 1 min: nothing arrives."])
  assert.equal(spellDuration(7300), "2 h")
  assert.equal(spellNames(["Ada", "Bob", "Cem", "Dan", "Eve"]), "Ada, Bob, Cem and 2 more")
})

test("epochs in words", () => {
  const line: EpochLine = {
    generation: 1,
    epoch: 3,
    at: 0,
    joined: [],
    left: [],
    returned: [],
    committer: "Ada",
    isOwn: false,
    hasNewRules: false,
    switchedAfterMs: undefined,
    tookMs: undefined,
  }
  assert.equal(eventOf(line), "Ada rotated keys")
  assert.equal(eventOf({ ...line, isOwn: true }), "You rotated your keys")
  assert.equal(eventOf({ ...line, joined: ["Bob", "Eve"], left: ["Cem"] }), "Bob and Eve joined, Cem left")
  assert.equal(eventOf({ ...line, isOwn: true, hasNewRules: true }), "The meeting's rules changed")
  assert.equal(eventOf({ ...line, isOwn: true, hasNewRules: true, tookMs: 80 }), "You rotated your keys")
  assert.equal(eventOf({ ...line, joined: ["Bob"], hasNewRules: true }), "Bob joined")
  assert.equal(eventOf({ ...line, returned: ["Bob"] }), "Bob came back")
  assert.equal(eventOf({ ...line, committer: undefined, joined: ["Ada"] }), "You began the meeting")
  assert.equal(
    pace({ ...line, joined: ["Bob"], switchedAfterMs: 140.4 }),
    "committed by Ada · you switched in 140 ms",
  )
})

test("every member has a seat, every screen one more, and who is only in the room none", () => {
  const people = [person("Ada"), person("Bob"), person("?", { leaf: undefined, recognition: undefined })]
  const picture = (participantId: string, isScreen: boolean) => ({
    key: participantId,
    participantId,
    isScreen,
    isSelf: false,
    isLive: true,
    attach: () => undefined,
  })
  const seats = seatsOf({ people, pictures: [picture("Bob", true), picture("Bob", false), picture("nobody", false)] })
  assert.deepEqual(
    seats.map(({ key, picture: shown }) => [key, shown?.isScreen]),
    [
      ["Bob screen", true],
      ["Ada", undefined],
      ["Bob", false],
    ],
  )
})

test("addresses in a message can be opened, and nothing else", () => {
  const links = (text: string) => piecesOf(text).flatMap((piece) => (piece.isLink ? [piece.text] : []))
  assert.deepEqual(links("see https://a.example/b?c=d#e, and (http://b.example)."), [
    "https://a.example/b?c=d#e",
    "http://b.example",
  ])
  assert.deepEqual(links("javascript:alert(1) data:text/html,x //a.example https:// www.example"), [])
  const text = "a https://b.example c\n\td"
  assert.equal(piecesOf(text).map((piece) => piece.text).join(""), text)
})

test("tiles are as large as they can be", () => {
  assert.equal(gridFor(1, 1200, 700).columns, 1)
  assert.equal(gridFor(4, 1200, 700).columns, 2)
  assert.equal(gridFor(2, 360, 600).columns, 1)
  for (const count of [1, 2, 3, 7, 12, 50]) {
    const { columns, tileWidth, tileHeight } = gridFor(count, 360, 560)
    assert.ok(tileWidth >= 140 && columns * tileWidth <= 360)
    assert.ok(tileWidth >= tileHeight && tileWidth <= 1.8 * tileHeight)
  }
})
