/**
 * How a participant comes into the meeting's group: it founds it, or knocks and opens the Welcome.
 *
 * A participant is one signature key: whoever enters anew, under another participant id, takes a fresh one.
 */

import { decodeBase64url, equal, type Octets, random, utf8 } from "../bytes.ts"
import { Group } from "../mls/group.ts"
import { createKeyPackage, encodePackage, type KeyPackageBundle, type SignatureKeyPair } from "../mls/key_package.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import { type Client, PROTOCOL, type Server } from "../signaling/messages.ts"
import { PolicyError } from "./errors.ts"
import type { LinkKeys, MeetingLink } from "./link.ts"
import { type Policies, Policy } from "./policy.ts"
import { peopleOf } from "./rules.ts"

const KEY_PACKAGE_LIFETIME_S = 24 * 3600
const MAX_EPOCH = 2 ** 32 // more than any meeting reaches, and less than a message can name

/** Who we are to the server, the group that it speaks of, and the knock under way. `nowS` is wall time. */
export class Entrance {
  participantId: string | undefined
  generation = 0
  /** Of the generation's group, as the server says; of no consequence until a Welcome agrees. */
  groupId: Octets = new Uint8Array()
  readonly #link: MeetingLink
  readonly #keys: LinkKeys
  readonly #suite: CiphersuiteImpl
  readonly #name: string
  #isResuming = false
  #resumeToken: Octets = new Uint8Array()
  #isFounding = false
  #knock: Client<"knock"> | undefined
  #bundle: KeyPackageBundle | undefined
  #signatureKey: SignatureKeyPair | undefined

  constructor(link: MeetingLink, keys: LinkKeys, suite: CiphersuiteImpl, name: string) {
    this.#link = link
    this.#keys = keys
    this.#suite = suite
    this.#name = name
  }

  /** Come as somebody new, with a signature key that no leaf has yet. */
  join(): Client<"join"> {
    this.participantId = undefined
    this.generation = 0
    this.groupId = new Uint8Array()
    this.#isResuming = this.#isFounding = false
    this.forgetKnock()
    this.#signatureKey = undefined
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
    const sealed = await this.#keys.sealKnock(this.#ownId, encodePackage(this.#bundle))
    this.#knock = { type: "knock", generation, knock: sealed }
    return this.#knock
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
    policies: Policies,
    newest: number,
  ): Promise<{ readonly group: Group; readonly policy: Policy; readonly signed: Octets }> {
    if (this.#bundle === undefined) throw new PolicyError("It answers no knock.")
    let policy = Policy.none(this.#link.meetingId)
    let signed: Octets = new Uint8Array()
    if (message.sealed_policy !== null) {
      signed = await this.#keys.openPolicy(this.groupId, message.epoch, message.sealed_policy)
      policy = await policies.verify(signed)
    }
    if (policy.version < policies.inForce.version) {
      throw new PolicyError("It was made under an older policy than we have seen in force.")
    }
    const psk = { id: policy.pskId, secret: this.#keys.linkPsk }
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
    this.#signatureKey ??= await this.#suite.signature.keygen()
    const lifetime = { nowS, lastsS: KEY_PACKAGE_LIFETIME_S }
    const applicationId = decodeBase64url(this.#ownId)!
    return createKeyPackage(this.#suite, utf8(this.#name), applicationId, this.#signatureKey, lifetime)
  }

  get #ownId(): string {
    if (this.participantId === undefined) throw new Error("the server has not said who we are")
    return this.participantId
  }
}
