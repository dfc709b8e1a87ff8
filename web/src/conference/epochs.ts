/**
 * The epochs of one group that we were in: who was who. It outlives the group's loss, and so do its media keys, which
 * another worker holds: who comes back into the same group goes on with the same counters, and never under an epoch
 * that it has sent in before.
 */

import type { Octets } from "../bytes.ts"
import type { Person } from "./roster.ts"

const MAX_EPOCHS = 64 // epochs whose members are remembered: more than have keys for chat or media

export class Epochs {
  readonly groupId: Octets
  newest = -1
  readonly #people = new Map<number, ReadonlyMap<number, Person>>()

  constructor(groupId: Octets) {
    this.groupId = groupId
  }

  /** The group is at a later epoch. */
  adopt(epoch: number, people: readonly Person[]): void {
    this.newest = epoch
    this.#people.set(epoch, new Map(people.map((person) => [person.leaf, person])))
    if (this.#people.size > MAX_EPOCHS) this.#people.delete(Math.min(...this.#people.keys()))
  }

  /** Who held a leaf then; the same leaf may be somebody else's later. */
  personAt(epoch: number, leaf: number): Person | undefined {
    return this.#people.get(epoch)?.get(leaf)
  }

  /** The members at the newest epoch, by leaf. */
  get current(): readonly Person[] {
    return [...(this.#people.get(this.newest)?.values() ?? [])]
  }
}
