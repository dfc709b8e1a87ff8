/**
 * What was compared: the codes of the last ten minutes, who was there at their epochs, and whom a comparison vouches
 * for. A comparison names one epoch; it holds for the signature keys that were in the group then, and for no others.
 */

import { encodeBase64url } from "../bytes.ts"
import type { Person } from "../conference/roster.ts"
import type { Code, Comparison, Trust } from "./scene.ts"

const KEPT_MS = 600_000
const MAX_EPOCHS = 256

interface Epoch {
  readonly epoch: number
  readonly at: number
  readonly members: readonly Person[]
  code: Code | undefined
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
  #compared: { readonly epoch: number; readonly at: number } | undefined
  /** Signature keys that the comparison vouches for. */
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
    this.#epochs = [
      ...this.#epochs.filter((each) => at - each.at < KEPT_MS),
      { epoch, at, members, code: undefined },
    ].slice(-MAX_EPOCHS)
    this.#joined.push(...joined.map((person) => ({ epoch, person })))
    this.#left.push(...left.map((person) => ({ epoch, person })))
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

  setCode(code: Code): void {
    const found = this.#epochs.find(({ epoch }) => epoch === code.epoch)
    if (found !== undefined) found.code = code
  }

  /** The user says that everybody's code of this epoch was the same, or was not. */
  compare(epoch: number, isSame: boolean, at: number): void {
    const found = this.#epochs.find((each) => each.epoch === epoch)
    if (found === undefined) return
    this.hasDiffered = !isSame
    this.#compared = isSame ? { epoch, at } : undefined
    this.#pinned = new Set(isSame ? found.members.map(keyOf) : [])
  }

  get codes(): Code[] {
    return this.#epochs.flatMap(({ code }) => code ?? [])
  }

  get comparison(): Comparison | undefined {
    if (this.#compared === undefined) return undefined
    const { epoch, at } = this.#compared
    const since = (seen: readonly Seen[]) => seen.filter((each) => each.epoch > epoch).map(({ person }) => person.name)
    return { epoch, at, joinedSince: since(this.#joined), leftSince: since(this.#left) }
  }

  trustOf(person: Person | undefined, isSelf: boolean): Trust {
    if (isSelf) return "self"
    if (this.#compared === undefined || person === undefined) return "uncompared"
    return this.#pinned.has(keyOf(person)) ? "compared" : "new"
  }
}
