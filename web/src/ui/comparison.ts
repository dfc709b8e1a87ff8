/**
 * What was compared: the codes of the last ten minutes, who was there at their epochs, and whom a comparison vouches
 * for. A comparison names one epoch; it holds for the signature keys that were in the group then, and for no others.
 */

import { encodeBase64url, equal, type Octets } from "../bytes.ts"
import type { Person } from "../conference/roster.ts"
import type { Code, Whom } from "./scene.ts"

const KEPT_MS = 600_000
const MAX_EPOCHS = 256
const MAX_SEEN = 4096 // who came and who went: more than any meeting has at once

interface Epoch {
  readonly epoch: number
  readonly at: number
  readonly members: readonly Person[]
  code: CodeOf | undefined
}

type CodeOf = Omit<Code, "people">

/** What the user said of a code, and who came and went since. */
export interface Compared {
  readonly epoch: number
  readonly at: number
  readonly whom: Whom
  readonly joinedSince: readonly Person[]
  readonly leftSince: readonly Person[]
}

interface Seen {
  readonly epoch: number
  readonly person: Person
}

const keyOf = (person: Person) => encodeBase64url(person.signatureKey)

export class Comparisons {
  #epochs: Epoch[] = []
  #joined: Seen[] = []
  #left: Seen[] = []
  #compared: { readonly epoch: number; readonly at: number; readonly whom: Whom } | undefined
  /** Signature keys of the epoch that was compared. */
  #pinned = new Set<string>()
  hasDiffered = false

  /** The group is at a new epoch. */
  enter(
    epoch: number,
    members: readonly Person[],
    joined: readonly Person[],
    left: readonly Person[],
    at: number,
  ): void {
    const all = [...this.#epochs, { epoch, at, members, code: undefined }]
    // Each ended as the next began.
    this.#epochs = all.filter((_, index) => at - (all[index + 1]?.at ?? at) < KEPT_MS).slice(-MAX_EPOCHS)
    this.#joined = [...this.#joined, ...joined.map((person) => ({ epoch, person }))].slice(-MAX_SEEN)
    this.#left = [...this.#left, ...left.map((person) => ({ epoch, person }))].slice(-MAX_SEEN)
  }

  /** Another group: what was compared was the one before. */
  forget(): void {
    this.#epochs = this.#epochs.slice(-1)
    this.#joined = []
    this.#left = []
    this.#compared = undefined
    this.#pinned.clear()
    this.hasDiffered = false
  }

  setCode(code: CodeOf): void {
    const found = this.#epochs.find(({ epoch }) => epoch === code.epoch)
    if (found !== undefined) found.code = code
  }

  /**
   * The user says that the code of this epoch was the same, and whom that vouches for; or that it was not. Returns
   * the members for whom it does, us among them.
   */
  compare(epoch: number, isSame: boolean, whom: Whom, at: number): readonly Person[] {
    const found = this.#epochs.find((each) => each.epoch === epoch)
    if (found === undefined) return []
    this.hasDiffered = !isSame
    this.#compared = isSame ? { epoch, at, whom } : undefined
    this.#pinned = new Set(isSame ? found.members.map(keyOf) : [])
    if (!isSame) return []
    return typeof whom === "string" ? found.members : found.members.filter((each) => keyOf(each) === whom.key)
  }

  /** Of the epochs that can still be compared; `ownKey` is not among the people for whom a code stands. */
  codes(ownKey: Octets | undefined): Code[] {
    return this.#epochs.flatMap(({ code, members }) => {
      const others = members.filter(({ signatureKey }) => ownKey === undefined || !equal(signatureKey, ownKey))
      return code === undefined ? [] : { ...code, people: others.map((each) => ({ key: keyOf(each), name: each.name })) }
    })
  }

  hasCode(epoch: number | undefined): boolean {
    return this.#epochs.some((each) => each.epoch === epoch && each.code !== undefined)
  }

  get comparison(): Compared | undefined {
    if (this.#compared === undefined) return undefined
    const since = (seen: readonly Seen[]) =>
      seen.filter(({ epoch }) => epoch > this.#compared!.epoch).map(({ person }) => person)
    return { ...this.#compared, joinedSince: since(this.#joined), leftSince: since(this.#left) }
  }

  /** Whether this key was not in the group when a code was compared. */
  cameSince(person: Person | undefined): boolean {
    return this.#compared !== undefined && person !== undefined && !this.#pinned.has(keyOf(person))
  }
}
