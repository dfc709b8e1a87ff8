/**
 * The epochs of one group that we were in: who was who. It outlives the group's loss, and so do its media keys, which
 * another worker holds: who comes back into the same group goes on with the same counters, and never under an epoch
 * that it has sent in before.
 */

import type { Octets } from "../bytes.ts"
import type { Group } from "../mls/group.ts"
import type { EpochSecret } from "./epoch_keys.ts"
import type { Person } from "./roster.ts"

const SFRAME_KEY_SIZE: Readonly<Record<number, number>> = { 0x0004: 16, 0x0005: 32 }
const MAX_EPOCHS = 64 // epochs whose members are remembered: more than have keys for chat or media

/** What SFrame takes from an epoch of a group (RFC 9605 §5.2). */
export async function secretOf(group: Group, sframeSuite: number): Promise<EpochSecret> {
  const taken = new Set(group.members.map(({ leafIndex }) => leafIndex))
  const leaves = Array.from({ length: group.leafCount }, (_, leaf) => leaf)
  return {
    epoch: group.epoch,
    baseKey: await group.export("SFrame 1.0 Base Key", new Uint8Array(), SFRAME_KEY_SIZE[sframeSuite]!),
    leafCount: group.leafCount,
    ownLeaf: group.ownLeaf,
    blankLeaves: new Set(leaves.filter((leaf) => !taken.has(leaf))),
  }
}

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
