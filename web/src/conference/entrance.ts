/**
 * How a participant comes into the meeting's group: it founds it, or knocks and opens the Welcome.
 *
 * A person is one signature key: whoever enters anew, under another participant id, claims with it the leaf that it
 * had, so that one commit swaps the two.
 */

import { decodeBase64url, equal, type Octets, random, utf8 } from "../bytes.ts"
import { Group } from "../mls/group.ts"
import {
  createKeyPackage,
  encodePackage,
  type KeyPackageBundle,
  present,
} from "../mls/key_package.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import { type Client, PROTOCOL, type Server } from "../signaling/messages.ts"
import { PolicyError } from "./errors.ts"
import { BY_LINK, type ByLink, createReturn, encodeKnock, type Return } from "./passes.ts"
import type { Policies } from "./policies.ts"
import { Policy } from "./policy.ts"
import { peopleOf } from "./rules.ts"
import type { HostKey } from "./signing.ts"

const KEY_PACKAGE_LIFETIME_S = 24 * 3600
const MAX_EPOCH = 2 ** 32 // more than any meeting reaches, and less than a message can name

/** The group in which we have, or had, a leaf, and that leaf's participant id. */
export interface Former {
  readonly groupId: Octets
  readonly participantId: string
}

/** Who we are to the server, the group that it speaks of, and the knock under way. `nowS` is wall time. */
export class Entrance {
  participantId: string | undefined
  generation = 0
  /** Of the generation's group, as the server says; of no consequence until a Welcome agrees. */
  groupId: Octets = new Uint8Array()
  /** Of our leaf: by which others know us. */
  readonly leafKey: HostKey
  readonly #policies: Policies
  readonly #suite: CiphersuiteImpl
  readonly #name: string
  /** By which our leaf goes, if there are any. */
  readonly #certificates: readonly Octets[]
  #isResuming = false
  #resumeToken: Octets = new Uint8Array()
  #isFounding = false
  #knock: Client<"knock"> | undefined
  #bundle: KeyPackageBundle | undefined
  #former: Former | undefined

  /** `suite` signs by `leafKey`; `former` is from an earlier life of the same key, and `certificates` are of it. */
  constructor(
    policies: Policies,
    suite: CiphersuiteImpl,
    name: string,
    leafKey: HostKey,
    former: Former | undefined,
    certificates: readonly Octets[],
  ) {
    this.#certificates = certificates
    this.#former = former
    this.leafKey = leafKey
    this.#policies = policies
    this.#suite = suite
    this.#name = name
  }

  /** We have a leaf in this group, under our present participant id. */
  entered(groupId: Octets): void {
    this.#former = { groupId, participantId: this.#ownId }
  }

  /** Come as somebody whom the server does not know. */
  join(): Client<"join"> {
    this.participantId = undefined
    this.generation = 0
    this.groupId = new Uint8Array()
    this.#isResuming = this.#isFounding = false
    this.forgetKnock()
    return { type: "join", protocol: PROTOCOL }
  }

  /** The server says who we are. */
  greeted(message: Server<"joined">): void {
    this.participantId = message.participant_id
    this.#resumeToken = message.resume_token
  }

  /** Come as who we were, upon a new connection. */
  resume(nextEpoch: number): Client<"resume"> {
    this.#isResuming = true
    return {
      type: "resume",
      protocol: PROTOCOL,
      participant_id: this.#ownId,
      resume_token: this.#resumeToken,
      generation: this.generation,
      next_epoch: nextEpoch,
    }
  }

  /** The server says whether we are who we were. False if that was not asked. */
  takeAnswer(): boolean {
    const wasResuming = this.#isResuming
    this.#isResuming = false
    return wasResuming
  }

  // --- founding ---

  /** Offer to found the group after this generation, which has none. */
  found(generation: number): Client<"found"> {
    this.generation = generation
    this.groupId = random(16)
    this.#isFounding = true
    this.forgetKnock()
    return { type: "found", generation, group_id: this.groupId }
  }

  /** Whether the group that was founded is the one that we offered to found. */
  isGranted(message: Server<"founded">): boolean {
    const isOurs = message.founder === this.participantId && equal(message.group_id, this.groupId)
    return this.#isFounding && isOurs
  }

  /** The group that we founded: once, for its first epoch has the same number each time. */
  async createGroup(generation: number, nowS: number): Promise<Group> {
    this.generation = generation
    this.#isFounding = false
    return Group.create(this.#suite, this.groupId, await this.#createBundle(nowS))
  }

  // --- knocking ---

  /** Ask to be let in to this group, with a fresh KeyPackage. */
  async knock(generation: number, groupId: Octets, nowS: number): Promise<Client<"knock">> {
    this.generation = generation
    this.groupId = groupId
    this.#isFounding = false
    this.#bundle = await this.#createBundle(nowS)
    const { reference } = await present(this.#suite, this.#bundle.keyPackage)
    const claim = await this.#claim(groupId, decodeBase64url(reference)!)
    const knock = encodeKnock(claim, encodePackage(this.#bundle))
    this.#knock = { type: "knock", generation, knock: await this.#policies.keys.sealKnock(this.#ownId, knock) }
    return this.#knock
  }

  /** Whether we say that a leaf of this group is ours. */
  async #claim(groupId: Octets, reference: Octets): Promise<ByLink | Return> {
    if (this.#former === undefined || !equal(this.#former.groupId, groupId)) return BY_LINK
    return createReturn(this.#former.participantId, this.leafKey.sign, groupId, reference)
  }

  /** The knock at this group that was not answered yet: its Welcome may be on the way. */
  knockUnderWay(generation: number, groupId: Octets | null): Client<"knock"> | undefined {
    const isThere = groupId !== null && generation === this.generation && equal(groupId, this.groupId)
    return isThere ? this.#knock : undefined
  }

  /** No Welcome is waited for. */
  forgetKnock(): void {
    this.#knock = this.#bundle = undefined
  }

  /**
   * The group, its policy and that policy as signed. The knock is answered then.
   *
   * `newest` is the last epoch that we were in, of this group; -1 if we were in none. Throws MLSError or MemberError,
   * and nothing has changed.
   */
  async openWelcome(
    message: Server<"welcome">,
    newest: number,
  ): Promise<{ readonly group: Group; readonly policy: Policy; readonly signed: Octets }> {
    if (this.#bundle === undefined) throw new PolicyError("It answers no knock.")
    const policies = this.#policies
    let policy = Policy.none(policies.link.meetingId)
    let signed: Octets = new Uint8Array()
    if (message.sealed_policy !== null) {
      signed = await policies.keys.openPolicy(this.groupId, message.epoch, message.sealed_policy)
      policy = await policies.verify(signed)
    }
    if (policy.version < policies.inForce.version) {
      throw new PolicyError("It was made under an older policy than we have seen in force.")
    }
    const psk = { id: policy.pskId, secret: policies.keys.linkPsk }
    const check = (group: Group) => this.#checkJoined(group, message, newest)
    const group = await Group.join(this.#suite, message.welcome, this.#bundle, psk, check)
    this.forgetKnock()
    return { group, policy, signed }
  }

  #checkJoined(group: Group, message: Server<"welcome">, newest: number): void {
    if (!equal(group.groupId, this.groupId) || group.epoch !== message.epoch) {
      throw new PolicyError("It leads to another group or epoch than the server says.")
    }
    if (group.epoch <= newest) throw new PolicyError("It leads back to an epoch that we have been in.")
    if (group.epoch >= MAX_EPOCH) throw new PolicyError("It leads to an epoch that no meeting reaches.")
    peopleOf(group)
  }

  async #createBundle(nowS: number): Promise<KeyPackageBundle> {
    const lifetime = { nowS, lastsS: KEY_PACKAGE_LIFETIME_S }
    const applicationId = decodeBase64url(this.#ownId)!
    const signatureKey = await this.#suite.signature.keygen() // each time the same
    return createKeyPackage(this.#suite, utf8(this.#name), applicationId, signatureKey, lifetime, this.#certificates)
  }

  get #ownId(): string {
    if (this.participantId === undefined) throw new Error("the server has not said who we are")
    return this.participantId
  }
}
