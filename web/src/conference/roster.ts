/**
 * Who is here: the members of the MLS group, held against what the server claims (DESIGN §9).
 *
 * The group is the truth about who can decrypt; the server's list is a claim. Where the two differ for longer than
 * the network explains, the difference is shown.
 */

import { equal, type Octets } from "../bytes.ts"

const PENDING_S = 5
const MAX_ROOM = 4096 // participants in the server's list: more than any server admits
const MAX_TIMELINE = 10_000

/** How the group and the server's list agree about one participant. */
export type Standing =
  | "aligned"
  /** They differ, but for less than five seconds. */
  | "pending"
  /** May still hold keys: a silent guest, or somebody whose removal is withheld. */
  | "in the group but not in the room"
  /** Cannot decrypt. */
  | "in the room but not in the group"
  /** Neither list has ever named it, or both have struck it out. */
  | "unknown to both"

/** A leaf of the group. */
export interface Person {
  readonly leaf: number
  /** Self-chosen, or that of a certificate. It proves nothing before somebody has looked. */
  readonly name: string
  /** The leaf's `application_id`, by which the two lists are compared. */
  readonly participantId: string
  readonly signatureKey: Octets
  /** The chain (DER) of an X509Credential, which may vouch for the name. */
  readonly certificates: readonly Octets[]
}

export function isSamePerson(one: Person | undefined, other: Person | undefined): boolean {
  return (
    one !== undefined &&
    other !== undefined &&
    one.leaf === other.leaf &&
    one.participantId === other.participantId &&
    isReturned(one, other)
  )
}

/** Whether it is the same person, perhaps with another leaf. */
export function isReturned(person: Person, was: Person): boolean {
  return (
    equal(person.signatureKey, was.signatureKey) &&
    person.name === was.name &&
    person.certificates.length === was.certificates.length &&
    person.certificates.every((each, at) => equal(each, was.certificates[at]!))
  )
}

export interface Row {
  readonly participantId: string
  /** undefined for who is only in the room. */
  readonly person: Person | undefined
  /** What the server says; undefined if it does not know the participant. */
  readonly presence: string | undefined
  readonly standing: Standing
}

/** A line of the timeline: every leaf that ever was stays seen. */
export interface Change {
  readonly epoch: number
  readonly at: number
  readonly joined: boolean
  readonly person: Person
}

/** The two lists and since when they differ. `now` is in seconds of any clock that does not go back. */
export class Roster {
  /** By leaf, not by participant id: two leaves that carry the same id are two rows. */
  #people: readonly Person[] = []
  #inGroup: ReadonlySet<string> = new Set()
  #presence = new Map<string, string>()
  readonly #differsSince = new Map<string, number>()
  readonly timeline: Change[] = []
  /** How many of its oldest lines the timeline has lost to its bound. */
  forgotten = 0

  /** The members at a new epoch. */
  setGroup(epoch: number, people: readonly Person[], now: number): void {
    const after = [...people].sort((one, other) => one.leaf - other.leaf)
    const isIn = (list: readonly Person[], person: Person) => list.some((each) => isSamePerson(each, person))
    for (const person of this.#people.filter((each) => !isIn(after, each))) {
      this.timeline.push({ epoch, at: now, joined: false, person })
    }
    for (const person of after.filter((each) => !isIn(this.#people, each))) {
      this.timeline.push({ epoch, at: now, joined: true, person })
    }
    const surplus = Math.max(0, this.timeline.length - MAX_TIMELINE)
    this.forgotten += surplus
    this.timeline.splice(0, surplus)
    this.#people = after
    const before = this.#inGroup
    this.#inGroup = new Set(after.map(({ participantId }) => participantId))
    this.#compare([...before, ...this.#inGroup], now)
  }

  /** The server's whole list of participants who are connected or in their grace. */
  setRoom(presence: Iterable<readonly [string, string]>, now: number): void {
    const before = this.#presence
    this.#presence = new Map([...presence].slice(0, MAX_ROOM))
    this.#compare([...before.keys(), ...this.#presence.keys()], now)
  }

  /** What the server says of one participant; undefined: it is gone. */
  setPresence(participantId: string, presence: string | undefined, now: number): void {
    if (presence === undefined) this.#presence.delete(participantId)
    else if (this.#presence.size < MAX_ROOM || this.#presence.has(participantId)) {
      this.#presence.set(participantId, presence)
    }
    this.#compare([participantId], now)
  }

  #compare(changed: Iterable<string>, now: number): void {
    for (const each of changed) {
      if (this.#agrees(each)) this.#differsSince.delete(each)
      else if (!this.#differsSince.has(each)) this.#differsSince.set(each, now)
    }
  }

  #agrees(participantId: string): boolean {
    const isInRoom = ["member", "away"].includes(this.#presence.get(participantId) ?? "")
    return isInRoom === this.#inGroup.has(participantId)
  }

  /** Members in the order of their leaves, then who is only in the room. */
  rows(now: number): Row[] {
    const strangers = [...this.#presence.keys()].filter((each) => !this.#inGroup.has(each)).sort()
    return [
      ...this.#people.map((person) => ({ participantId: person.participantId, person })),
      ...strangers.map((participantId) => ({ participantId, person: undefined })),
    ].map((each) => ({
      ...each,
      presence: this.#presence.get(each.participantId),
      standing: this.standing(each.participantId, now),
    }))
  }

  /** Whether the server has this participant in its list, wherever it stands. */
  isInRoom(participantId: string): boolean {
    return this.#presence.has(participantId)
  }

  /** Whose leaves still stand though the server has not had them in the room for a while. */
  departed(now: number): Set<string> {
    const isLong = (each: string) => now - (this.#differsSince.get(each) ?? now) >= PENDING_S
    return new Set([...this.#inGroup].filter((each) => !this.#presence.has(each) && isLong(each)))
  }

  standing(participantId: string, now: number): Standing {
    const isInGroup = this.#inGroup.has(participantId)
    if (!isInGroup && !this.#presence.has(participantId)) return "unknown to both"
    const since = this.#differsSince.get(participantId)
    if (since !== undefined && now - since < PENDING_S) return "pending"
    if (isInGroup) return since === undefined ? "aligned" : "in the group but not in the room"
    return "in the room but not in the group" // if it waits, both lists say so
  }

  /** When a pending difference becomes one, so that it is shown then; infinite if none is pending. */
  nextChange(now: number): number {
    const due = [...this.#differsSince.values()].map((since) => since + PENDING_S).filter((at) => at > now)
    return Math.min(Infinity, ...due)
  }
}
