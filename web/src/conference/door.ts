/**
 * Who may come in by one commit (docs/protocol.md, "Passes"): what would make the commit fail with somebody in it must
 * be seen here, for the sake of the others in it.
 */

import { encodeBase64url, type Octets } from "../bytes.ts"
import type { Group } from "../mls/group.ts"
import { checkedKeyPackage, type Presented } from "../mls/key_package.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import { PolicyError } from "./errors.ts"
import type { LinkKeys } from "./link.ts"
import { admissionOf, type Lobby } from "./lobby.ts"
import { BY_LINK, type ByLink, decodeKnock, type Pass, type Return } from "./passes.ts"
import type { Policy } from "./policy.ts"
import type { Person } from "./roster.ts"
import { checkPass, newcomerOf, type Newcomer, NotAdmittedError, peopleOf } from "./rules.ts"

/** What a commit is built upon. */
export interface Situation {
  readonly group: Group
  readonly generation: number
  /** The policy that the commit is to bind. */
  readonly policy: Policy
  readonly signedPolicy: Octets
  readonly isNewPolicy: boolean
  readonly usedKeyPackages: ReadonlySet<string>
  readonly linkHost: Octets
  /** Of the link that goes with the policy. */
  readonly keys: LinkKeys
  readonly lobby: Lobby
  /** Who should have been removed by now, whatever earlier leaders said that they did. */
  readonly departed: ReadonlySet<string>
  readonly wallTimeS: number
}

/** Whether nobody in the group may have this signature key once the policy is in force. */
export function isUnwanted(on: Situation, signatureKey: Octets): boolean {
  return on.isNewPolicy && on.policy.excludes(signatureKey)
}

/** Who comes in by the next commit, and why. */
export interface Admitted {
  readonly presented: Presented
  readonly given: Pass
}

export type Adds = ReadonlyMap<string, Admitted>

/** A host has refused somebody. */
export class RefusedError extends PolicyError {}

/** Looks at those who knock, one after the other. */
export class Door {
  readonly admitted = new Map<string, Admitted>()
  readonly own: Person
  /** The others, by participant id. */
  readonly people: ReadonlyMap<string, Person>
  readonly #on: Situation
  readonly #suite: CiphersuiteImpl
  /** By public key, whose it is. */
  readonly #owners = new Map<string, string>()

  constructor(on: Situation, suite: CiphersuiteImpl) {
    this.#on = on
    this.#suite = suite
    const people = peopleOf(on.group)
    this.own = people.find(({ leaf }) => leaf === on.group.ownLeaf)!
    this.people = new Map(
      people.filter((person) => person !== this.own).map((person) => [person.participantId, person]),
    )
    for (const person of people) this.#owners.set(encodeBase64url(person.signatureKey), person.participantId)
  }

  /** Whose leaves go with the commit that adds these. */
  gone(leaves: ReadonlySet<string>, adds: Adds): string[] {
    // Who knocks while a leaf of it is still in the group has lost its state: one commit swaps the leaf.
    const swapped = new Set(
      [...adds.values()].flatMap(({ given }) => (given.ground === "return" ? [given.participantId] : [])),
    )
    return [...this.people]
      .filter(
        ([who, { signatureKey }]) =>
          leaves.has(who) || adds.has(who) || swapped.has(who) || isUnwanted(this.#on, signatureKey),
      )
      .map(([who]) => who)
      .sort()
  }

  /**
   * Admit who knocks; or the reference of its KeyPackage, if a host has to decide about it.
   *
   * PolicyError or MLSError unless this KeyPackage can be added beside those that are admitted.
   */
  async admit(who: string, knock: Octets): Promise<Octets | undefined> {
    const on = this.#on
    const { claim, keyPackage } = decodeKnock(knock)
    if (who === this.own.participantId) throw new PolicyError("This is our own participant id: somebody would be us.")
    const presented = await checkedKeyPackage(this.#suite, keyPackage, on.wallTimeS)
    const newcomer = newcomerOf(presented, on.policy)
    if (newcomer.person.participantId !== who) {
      throw new PolicyError("The KeyPackage is for another participant than the one who knocked.")
    }
    if (on.usedKeyPackages.has(presented.reference)) throw new PolicyError("This KeyPackage was used before.")
    if (isUnwanted(on, newcomer.person.signatureKey)) {
      throw new PolicyError("The hosts have just removed this person.")
    }
    let given: Pass
    try {
      given = await this.#passOf(newcomer, claim)
    } catch (error) {
      if (error instanceof NotAdmittedError) return newcomer.reference
      throw error
    }
    this.#claimKeys(presented, who, given)
    this.admitted.set(who, { presented, given })
    return undefined
  }

  /** On what ground it may be added; NotAdmittedError if a host has to decide. */
  async #passOf(newcomer: Newcomer, claim: ByLink | Return): Promise<Pass> {
    const { policy, linkHost, lobby, group } = this.#on
    // What it says that it had may not be in the group any more.
    const isVoid = claim.ground === "return" && !this.people.has(claim.participantId)
    let given: Pass = isVoid ? BY_LINK : claim
    const decision = lobby.decision(newcomer.reference, policy, linkHost)
    if (given.ground === "link" && policy.document.lobby && decision !== undefined) {
      if (!decision.admitted) throw new RefusedError("A host did not let it in.")
      given = admissionOf(decision)
    }
    await checkPass(newcomer, given, policy, linkHost, group.groupId, this.people)
    return given
  }

  /** Each may stand in a group once (RFC 9420 §7.3); who comes back keeps its signature key. */
  #claimKeys({ member, keyPackage }: Presented, who: string, given: Pass): void {
    const keys = [member.signatureKey, member.encryptionKey, keyPackage.initKey].map((key) => encodeBase64url(key))
    const itself = [who, given.ground === "return" ? given.participantId : who]
    if (keys.some((key) => !itself.includes(this.#owners.get(key) ?? who))) {
      throw new PolicyError("Somebody else has one of these keys.")
    }
    for (const key of keys) this.#owners.set(key, who)
  }
}
