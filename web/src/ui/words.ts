/** What the page says: every sentence that is made of more than itself. */

import { isAlarming, isVerified, type Recognition, remarkOf, shown } from "../conference/recognition.ts"
import type { EpochLine, Person, Trouble } from "./scene.ts"

/** "12 s", "3 min", "2 h". */
export function spellDuration(seconds: number): string {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

/** "40 ms", "1.2 s". */
export function spellMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

export function spellTime(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
}

/** "Ada", "Ada and Bob", "Ada, Bob and Cem", "Ada, Bob and 3 more". */
export function spellNames(names: readonly string[], most = 4): string {
  if (names.length > most) return `${names.slice(0, most - 1).join(", ")} and ${names.length - most + 1} more`
  if (names.length < 2) return names[0] ?? "nobody"
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`
}

/** With the sign before it that says what the name is worth. */
export function nameOf({ recognition, participantId }: Person): string {
  return recognition === undefined ? `Somebody ${participantId.slice(0, 6)}` : shown(recognition)
}

/** Without any sign: for initials, and where the sign stands beside it. */
export function plainNameOf({ recognition, participantId }: Person): string {
  return recognition?.name ?? `Somebody ${participantId.slice(0, 6)}`
}

function because(trouble: Trouble): string {
  switch (trouble.reason) {
    case "no key":
      return trouble.epoch === undefined ? "no key for it" : `no key for epoch ${trouble.epoch}`
    case "bad tag":
      return "what arrives was changed on the way"
    case "replayed":
      return "only copies of old frames arrive"
    case "wrong sender":
      return "the frames are another person's"
    case "nothing received":
      return "nothing arrives"
  }
}

/** How somebody's decrypting goes, both ways, in words; none if all is well. */
export function healthOf(person: Person): string[] {
  const name = nameOf(person)
  const sentences = []
  if (person.cannotReadUs !== undefined) {
    const { sinceS } = person.cannotReadUs
    sentences.push(`${name} has been unable to decrypt you for ${spellDuration(sinceS)}: ${because(person.cannotReadUs)}.`)
  }
  if (person.unreadable !== undefined) {
    const { sinceS } = person.unreadable
    sentences.push(`You have been unable to decrypt ${name} for ${spellDuration(sinceS)}: ${because(person.unreadable)}.`)
  }
  return sentences
}

/** Short, for a picture that is not there. */
export function whyNoPicture(trouble: Trouble): string {
  const time = spellDuration(trouble.sinceS)
  return trouble.reason === "nothing received"
    ? `Nothing has arrived for ${time}`
    : `Not decrypted for ${time}: ${because(trouble)}`
}

const MOST_OUTSIDERS = 50

/** All members, and some of those who are only in the server's list, which may name thousands; how many are left out. */
export function listed(people: readonly Person[]): { readonly people: readonly Person[]; readonly unlisted: number } {
  const outsiders = people.filter(({ leaf }) => leaf === undefined)
  const shown = new Set(outsiders.slice(0, MOST_OUTSIDERS))
  return {
    people: people.filter((person) => person.leaf !== undefined || shown.has(person)),
    unlisted: outsiders.length - shown.size,
  }
}

/** What the server claims about somebody. */
export function claimOf(person: Person): string {
  switch (person.presence) {
    case undefined:
      return "not here"
    case "member":
      return "here"
    case "away":
      return "connection lost"
    case "waiting":
      return "at the door"
    default:
      return person.presence
  }
}

/** Whether somebody else holds the keys whom the server does not show. */
export function isGhost({ standing, isSelf }: Person): boolean {
  return standing === "in the group but not in the room" && !isSelf
}

/** How the group and the server's list agree about somebody. */
export function standingOf(person: Person): { readonly text: string; readonly level: "good" | "quiet" | "danger" } {
  switch (person.standing) {
    case "aligned":
      return { text: "In the group, and the server says so too", level: "good" }
    case "pending":
      return { text: "Coming or going", level: "quiet" }
    case "in the group but not in the room":
      if (person.isSelf) return { text: "The server says that you are not here", level: "quiet" }
      return { text: "Holds the keys, but is hidden by the server: may be listening", level: "danger" }
    case "in the room but not in the group":
      if (person.presence === "waiting") return { text: "At the door, without keys", level: "quiet" }
      return { text: "Connected, but without keys: can decrypt nothing", level: "quiet" }
    case "unknown to both":
      return { text: "Gone", level: "quiet" }
  }
}

export function beginSentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** How well somebody is known, as a sentence. */
export function trustOf(person: Person): string {
  if (person.recognition === undefined) return "Without keys"
  const since = person.cameSince && person.recognition.level === "new" ? ", came after you compared" : ""
  const isUnjudged = person.hasCertificate && person.recognition.level === "new" && person.recognition.why === ""
  const certificate = isUnjudged ? "; has a certificate of an authority that is not trusted here" : ""
  const remark = remarkOf(person.recognition)
  return `${beginSentence(remark)}${since}${certificate}`
}

/** Whether there is nothing to say of who somebody is, but that it says so itself. */
export function isMerelyNew({ recognition, cameSince, hasCertificate }: Person): boolean {
  return recognition?.level === "new" && recognition.why === "" && !cameSince && !hasCertificate
}

/** How to show how well somebody is known. */
export function lookOf(recognition: Recognition | undefined): "good" | "alarm" | "" {
  if (recognition === undefined) return ""
  return isVerified(recognition) ? "good" : isAlarming(recognition) ? "alarm" : ""
}

/** What it means that somebody may not be who the user takes it for, and what to do. */
export function alarmOf(recognition: Recognition): string {
  const about = `${shown(recognition)}: ${remarkOf(recognition)}`
  if (recognition.level === "certificate not valid") return `${about} The name may be anybody's.`
  return `${about}. Somebody else goes by this name, or they have another device, or came without their identity. Compare the security code with them before you say anything that matters.`
}

/** Who was compared, and will not be known in the next meeting. */
export function notRemembered(names: readonly string[]): string {
  const who = names.length === 1 ? "comes with a new key" : "come with new keys"
  return `${spellNames(names)} ${who} each time: known in this meeting, not remembered.`
}

/** How many of the others are known; undefined if nobody is, or there is nobody. */
export function howManyAreKnown(people: readonly Person[]): string | undefined {
  const others = people.flatMap(({ recognition, isSelf }) => (isSelf || recognition === undefined ? [] : [recognition]))
  const known = others.filter(isVerified).length
  if (known === 0) return undefined
  return known === others.length ? "All known" : `${known} of ${others.length} known`
}

const LINK = /(https?:\/\/[^\s<>"]*[^\s<>"'.,:;!?)\]}])/u

/** A message as text and addresses, which can be opened. */
export function piecesOf(text: string): { readonly text: string; readonly isLink: boolean }[] {
  const pieces = text.split(LINK).map((piece, at) => ({ text: piece, isLink: at % 2 === 1 }))
  return pieces.filter((piece) => piece.text !== "")
}

/** What made an epoch. */
export function eventOf(line: EpochLine): string {
  if (line.committer === undefined) return line.joined.length <= 1 ? "You began the meeting" : "You joined"
  const parts = []
  if (line.joined.length) parts.push(`${spellNames(line.joined)} joined`)
  if (line.returned.length) parts.push(`${spellNames(line.returned)} came back`)
  if (line.left.length) parts.push(`${spellNames(line.left)} left`)
  if (parts.length) return parts.join(", ")
  if (line.hasNewRules && line.tookMs === undefined) return "The meeting's rules changed" // unless new keys were asked for
  return line.isOwn ? "You rotated your keys" : `${line.committer} rotated keys`
}

/** How long it took, as far as can be seen from here. */
export function pace(line: EpochLine): string {
  const parts = []
  if (line.committer !== undefined && (line.joined.length || line.left.length || line.returned.length)) {
    parts.push(`committed by ${line.isOwn ? "you" : line.committer}`)
  }
  if (line.tookMs !== undefined) parts.push(`took ${spellMs(line.tookMs)}`)
  if (line.switchedAfterMs !== undefined) parts.push(`you switched in ${spellMs(line.switchedAfterMs)}`)
  return parts.join(" · ")
}
