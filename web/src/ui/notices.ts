/**
 * What is said aloud whether or not anybody looks at the security panel. Danger is what may mean a listener or
 * another meeting; a mere delay is none, and the roster holds it back for five seconds (conference/roster).
 */

import { likeness } from "../conference/known_keys.ts"
import { isAlarming } from "../conference/recognition.ts"
import type { Notice, Person } from "./scene.ts"
import { alarmOf, isGhost, nameOf, plainNameOf, spellNames } from "./words.ts"

const SHOW = { label: "Show", intent: "show security" } as const
const OPEN_DOOR = { label: "Show", intent: "show people" } as const
const INVITE = { label: "Invite", intent: "show people" } as const
const CHOOSE = { label: "Choose", intent: "show settings" } as const
const LEAVE = { label: "Leave", intent: "leave" } as const

const UNTOLD_S = 7 // so long, the server may not know yet whose connection is lost
const MOST_AWAY_S = 60 // a server that goes on saying so lets nobody go

export interface Warning {
  readonly key: string
  readonly level: "warning" | "news"
  readonly text: string
}

export interface Situation {
  readonly people: readonly Person[]
  /** For how long nothing has been sent, as most do not confirm our keys; undefined if they do. */
  readonly pausedForS: number | undefined
  /** Why there is no connection to the server. */
  readonly away: string | undefined
  /** We fell out of the group and are coming back: what for we wait. */
  readonly returning: string | undefined
  readonly hasDiffered: boolean
  /** Our keys should have been renewed long ago, and were not. */
  readonly isStale: boolean
  /** Why a microphone or camera that was wanted is not there. */
  readonly deviceProblem: string | undefined
  /** Who waits for us, being a host, to let them in. */
  readonly waiting: readonly string[]
  readonly joinedSinceCompared: readonly string[]
  /** How many records of people who were compared cannot be read. */
  readonly damaged: number
  /** What the core warned of, and what is said for a moment. */
  readonly warnings: readonly Warning[]
  readonly dismissed: ReadonlySet<string>
}

export function noticesOf(situation: Situation): Notice[] {
  const all = [...dangers(situation), ...warnings(situation), ...news(situation)]
  return all.filter(({ key, canBeDismissed }) => !canBeDismissed || !situation.dismissed.has(key))
}

function dangers({ people, pausedForS, hasDiffered }: Situation): Notice[] {
  const found: Notice[] = []
  const add = (key: string, text: string, action: Notice["action"]) =>
    found.push({ key, level: "danger", text, action, canBeDismissed: false })
  if (hasDiffered) {
    add(
      "differs",
      "The codes differ: you are not all in the same meeting, and somebody may sit in between. Say nothing that matters.",
      LEAVE,
    )
  }
  if (pausedForS !== undefined && !mayBeDelay(pausedForS, people)) {
    add(
      "paused",
      "You are not being heard or seen: most of the others do not confirm your keys. The server may have split the meeting. Compare the security code.",
      SHOW,
    )
  }
  for (const { key, recognition } of people) {
    if (recognition !== undefined && isAlarming(recognition)) add(`alarm ${key}`, alarmOf(recognition), SHOW)
  }
  const ghosts = people.filter(isGhost)
  if (ghosts.length) {
    const holds = ghosts.length === 1 ? "holds" : "hold"
    add(
      "ghosts",
      `${spellNames(ghosts.map(nameOf))} ${holds} the keys of this meeting, but the server does not show them. Somebody may be listening.`,
      SHOW,
    )
  }
  return found
}

/** Those whose connection is lost, as the server says, or who are going because of it. */
function awayOf(people: readonly Person[]): readonly Person[] {
  return people.filter(
    ({ leaf, isSelf, presence, standing }) =>
      leaf !== undefined && !isSelf && (presence === "away" || (presence === undefined && standing === "pending")),
  )
}

/** Whether lost connections are reason enough that most do not confirm our keys, or may turn out to be. */
function mayBeDelay(pausedForS: number, people: readonly Person[]): boolean {
  const members = people.filter(({ leaf }) => leaf !== undefined).length
  const areEnough = 2 * (members - awayOf(people).length) <= members
  return pausedForS < (areEnough ? MOST_AWAY_S : UNTOLD_S)
}

function unconfirmed(people: readonly Person[]): string {
  const away = awayOf(people)
  const why = away.length ? `${spellNames(away.map(nameOf))} lost the connection, as the server says. ` : ""
  return `${why}Nothing of yours is sent until most of the others confirm your keys.`
}

function warnings({ warnings: warned, people, pausedForS, isStale, damaged }: Situation): Notice[] {
  const strangers = people.filter(
    ({ standing, presence }) => standing === "in the room but not in the group" && presence !== "waiting",
  )
  const found: Notice[] = warned.map(({ key, level, text }) => ({
    key,
    level,
    text,
    action: level === "warning" ? SHOW : undefined,
    canBeDismissed: true,
  }))
  if (pausedForS !== undefined && mayBeDelay(pausedForS, people)) {
    found.push({ key: "unconfirmed", level: "warning", text: unconfirmed(people), action: SHOW, canBeDismissed: false })
  }
  for (const same of namesakes(people)) {
    const text = `${same.length} people here are called ${plainNameOf(same[0]!)}. Names are self-chosen: ask who is who.`
    found.push({
      key: `namesakes ${same.map(({ key }) => key).join()}`,
      level: "warning",
      text,
      action: SHOW,
      canBeDismissed: true,
    })
  }
  if (damaged > 0) {
    const text = "Of some people whom you compared, this browser cannot read the record: they are shown as new."
    found.push({ key: "damaged", level: "warning", text, action: SHOW, canBeDismissed: true })
  }
  if (people.some(({ isSelf, standing }) => isSelf && standing === "in the group but not in the room")) {
    const text = "The server says that you are not here, though you are in the group."
    found.push({ key: "unseen", level: "warning", text, action: SHOW, canBeDismissed: true })
  }
  if (isStale) {
    const text =
      "Your keys could not be renewed for 15 minutes: the code says nothing about who copied them before. Leave and come back."
    found.push({ key: "stale", level: "warning", text, action: SHOW, canBeDismissed: false })
  }
  if (strangers.length) {
    const text =
      strangers.length === 1
        ? "The server shows somebody who is not in the group. Without keys, nothing can be decrypted there."
        : `The server shows ${strangers.length} who are not in the group. Without keys, nothing can be decrypted there.`
    found.push({
      key: `strangers ${strangers.map(({ key }) => key).join()}`,
      level: "warning",
      text,
      action: SHOW,
      canBeDismissed: true,
    })
  }
  return found
}

/** Members whose names look alike, in groups. */
function namesakes(people: readonly Person[]): Person[][] {
  const byName = new Map<string, Person[]>()
  for (const person of people) {
    if (person.recognition === undefined) continue
    const name = likeness(person.recognition.callsItself)
    byName.set(name, [...(byName.get(name) ?? []), person])
  }
  return [...byName.values()].filter((same) => same.length > 1)
}

function news({ away, returning, joinedSinceCompared, people, waiting, deviceProblem }: Situation): Notice[] {
  const found: Notice[] = []
  if (away !== undefined) found.push({ key: "away", level: "news", text: away, canBeDismissed: false })
  else if (returning !== undefined)
    found.push({ key: "returning", level: "news", text: returning, canBeDismissed: false })
  if (waiting.length) {
    const text = `${spellNames(waiting)} ${waiting.length === 1 ? "is" : "are"} at the door.`
    found.push({ key: `door ${waiting.join()}`, level: "news", text, action: OPEN_DOOR, canBeDismissed: true })
  }
  if (deviceProblem !== undefined) {
    found.push({ key: "device", level: "news", text: deviceProblem, action: CHOOSE, canBeDismissed: true })
  }
  const members = people.filter(({ leaf }) => leaf !== undefined)
  if (members.length === 1 && members[0]!.isSelf) {
    const text = "You are the only one here."
    found.push({ key: "alone", level: "news", text, action: INVITE, canBeDismissed: true })
  }
  const recording = people.filter(({ isRecording }) => isRecording)
  if (recording.length) {
    const text = `${spellNames(recording.map(nameOf))} ${recording.length === 1 ? "is" : "are"} recording.`
    found.push({ key: `recording ${text}`, level: "warning", text, canBeDismissed: true })
  }
  if (joinedSinceCompared.length) {
    const names = spellNames(joinedSinceCompared)
    const text = `${names} joined after you compared the code. Compare again to be sure.`
    found.push({ key: `joined ${joinedSinceCompared.join()}`, level: "news", text, action: SHOW, canBeDismissed: true })
  }
  return found
}
