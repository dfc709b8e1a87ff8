/**
 * What a member does while it leads (DESIGN §5): take the work that the server hands out, and commit it.
 *
 * A commit is built as the next group beside the current one and adopted when the log echoes it; refused means
 * dropped, and the work is committed again on top of what was accepted instead.
 */

import { encodeBase64url, equal, type Octets } from "../bytes.ts"
import { MLSError } from "../mls/errors.ts"
import type { Group } from "../mls/group.ts"
import { checkedKeyPackage, type Presented } from "../mls/key_package.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import type { Client, ClientMessage, DismissReason, Server } from "../signaling/messages.ts"
import { MemberError, PolicyError } from "./errors.ts"
import type { LinkKeys } from "./link.ts"
import type { Policy } from "./policy.ts"
import { checkPresented, peopleOf } from "./rules.ts"

const MAX_WORK = 4096 // joins, and leaves: more than any server admits
const MAX_JOINS_IN_COMMIT = 128

/** What a commit is built upon. */
export interface Situation {
  readonly group: Group
  readonly generation: number
  /** The policy that the commit is to bind. */
  readonly policy: Policy
  readonly signedPolicy: Octets
  readonly isNewPolicy: boolean
  readonly usedKeyPackages: ReadonlySet<string>
  readonly wallTimeS: number
}

/** A commit of ours that the log has not echoed yet. */
export interface CommitUnderWay {
  readonly message: Octets
  readonly group: Group
  readonly policy: Policy
  readonly removes: boolean
  readonly keyPackages: readonly string[]
  /** The knocks that it answers, by participant id. */
  readonly knocks: ReadonlyMap<string, Octets>
  readonly left: ReadonlySet<string>
}

type Adds = ReadonlyMap<string, Presented>

/** The term, the work, and the commit under way. */
export class CommitLeader {
  term = 0
  leader: string | null = null
  wantsRefresh = false
  readonly #keys: LinkKeys
  readonly #suite: CiphersuiteImpl
  #joins = new Map<string, Octets>()
  #leaves = new Set<string>()
  #pending: CommitUnderWay | undefined
  #refusedAt: number | undefined

  constructor(keys: LinkKeys, suite: CiphersuiteImpl) {
    this.#keys = keys
    this.#suite = suite
  }

  /** Begin in a room where no term was heard of. */
  reset(): void {
    this.term = 0
    this.leader = null
    this.wantsRefresh = false
    this.#joins.clear()
    this.#leaves.clear()
    this.#pending = this.#refusedAt = undefined
  }

  /**
   * A new term, whose leader is handed all pending work anew. False for a term that is over, or that has another
   * leader already.
   */
  setTerm(term: number, leader: string | null): boolean {
    if (term < this.term || (term === this.term && this.leader !== null && this.leader !== leader)) return false
    if (term > this.term) {
      this.#joins.clear()
      this.#leaves.clear()
      this.#refusedAt = undefined
    }
    this.term = term
    this.leader = leader
    return true
  }

  /** Work on top of what this term has brought before. */
  addWork(work: Server<"work">): void {
    for (const { participant_id, knock } of work.joins.slice(0, MAX_WORK - this.#joins.size)) {
      this.#joins.set(participant_id, knock)
    }
    for (const each of work.leaves.slice(0, MAX_WORK - this.#leaves.size)) this.#leaves.add(each)
    for (const each of work.leaves) this.#joins.delete(each)
  }

  /** Our commit to end this epoch is not in the log; another is, so wait for it. */
  refuseCommit(epoch: number): void {
    if (this.#pending?.group.epoch !== epoch + 1) return
    this.#pending = undefined
    this.#refusedAt = epoch
  }

  /** Another commit was accepted, or the connection with ours was lost. */
  dropCommit(): void {
    this.#pending = undefined
  }

  /** We are out of the group: there is nothing to commit to, and our next leaf will be fresh. */
  dropGroup(): void {
    this.#pending = undefined
    this.wantsRefresh = false
  }

  /** The commit under way if `message` is it, for the caller to adopt. */
  takeCommit(message: Octets): CommitUnderWay | undefined {
    const pending = this.#pending
    if (pending === undefined || !equal(pending.message, message)) return undefined
    this.#pending = undefined
    this.wantsRefresh = false
    // Only what it did: who has knocked once more since then is to be added once more.
    for (const [who, knock] of pending.knocks) if (this.#joins.get(who) === knock) this.#joins.delete(who)
    for (const who of pending.left) this.#leaves.delete(who)
    return pending
  }

  /**
   * What is to be sent: dismissals, and a commit if there is something to commit.
   *
   * MLSError if this group cannot be committed to at all; it is then left alone until the next term or epoch.
   */
  async lead(on: Situation): Promise<ClientMessage[]> {
    const hasWork = this.#joins.size || this.#leaves.size || this.wantsRefresh || on.isNewPolicy
    if (this.#pending !== undefined || this.#refusedAt === on.group.epoch || !hasWork) return []
    const others = peopleOf(on.group).filter(({ leaf }) => leaf !== on.group.ownLeaf)
    const leaves = new Map(others.map(({ participantId, leaf }) => [participantId, leaf]))
    const { dismissals, adds } = await this.#openJoins(on)
    for (const who of [...this.#leaves].filter((each) => !leaves.has(each)).sort()) {
      dismissals.push(this.#dismiss(who, "unneeded"))
    }
    if (!(adds.size || this.#leaves.size || this.wantsRefresh || on.isNewPolicy)) return dismissals
    return [...dismissals, await this.#commitWhatCanBe(on, leaves, adds)]
  }

  async #commitWhatCanBe(on: Situation, leaves: ReadonlyMap<string, number>, adds: Adds): Promise<ClientMessage> {
    try {
      return await this.#commit(on, leaves, adds)
    } catch (error) {
      if (!(error instanceof MLSError)) throw error
      if (adds.size === 0) {
        this.#refusedAt = on.group.epoch
        throw error
      }
    }
    // One of them spoils it for all, in a way that looking at each did not show: take them singly.
    const [[who, presented]] = adds as unknown as [[string, Presented]]
    try {
      return await this.#commit(on, leaves, new Map([[who, presented]]))
    } catch (error) {
      if (!(error instanceof MLSError)) throw error
      return this.#dismiss(who, "policy")
    }
  }

  /** The commit that adds these, removes who has left, and is under way from now on. */
  async #commit(on: Situation, leaves: ReadonlyMap<string, number>, adds: Adds): Promise<ClientMessage> {
    // Who knocks while a leaf of it is still in the group has lost its state: one commit swaps the leaf.
    const gone = [...leaves.keys()].filter((who) => this.#leaves.has(who) || adds.has(who)).sort()
    const joined = [...adds.keys()].sort()
    const built = await on.group.commit(
      {
        add: [...adds.values()].map(({ keyPackage }) => keyPackage),
        remove: gone.map((who) => leaves.get(who)!),
        psk: adds.size ? { id: on.policy.pskId, secret: this.#keys.linkPsk } : undefined,
        authenticatedData: on.policy.binding,
      },
      on.wallTimeS,
    )
    let sealedPolicy: Octets | null = null
    if (joined.length && on.signedPolicy.length) {
      sealedPolicy = await this.#keys.sealPolicy(on.group.groupId, built.group.epoch, on.signedPolicy)
    }
    this.#pending = {
      message: built.message,
      group: built.group,
      policy: on.policy,
      removes: gone.length > 0,
      keyPackages: [...adds.values()].map(({ reference }) => reference),
      knocks: new Map(joined.map((who) => [who, this.#joins.get(who)!])),
      left: new Set(this.#leaves),
    }
    return {
      type: "commit",
      generation: on.generation,
      term: this.term,
      epoch: on.group.epoch,
      commit: built.message,
      welcome: built.welcome ?? null,
      sealed_policy: sealedPolicy,
      joined,
      left: gone.filter((who) => !adds.has(who)),
    }
  }

  /** Dismissals of the knocks that may not be added, and the KeyPackages of those that may. */
  async #openJoins(on: Situation): Promise<{ dismissals: ClientMessage[]; adds: Adds }> {
    const dismissals: ClientMessage[] = []
    const door = new Door(on, this.#suite)
    for (const [who, knock] of [...this.#joins].slice(0, MAX_JOINS_IN_COMMIT)) {
      try {
        await door.admit(who, await this.#keys.openKnock(who, knock))
      } catch (error) {
        if (error instanceof PolicyError || error instanceof MLSError) dismissals.push(this.#dismiss(who, "policy"))
        else if (error instanceof MemberError) dismissals.push(this.#dismiss(who, "unreadable"))
        else throw error
      }
    }
    return { dismissals, adds: door.admitted }
  }

  #dismiss(who: string, reason: DismissReason): Client<"dismiss"> {
    this.#joins.delete(who)
    this.#leaves.delete(who)
    return { type: "dismiss", term: this.term, participant_id: who, reason }
  }
}

/**
 * Who may come in by one commit. What would make the commit fail with somebody in it must be seen here, for the sake
 * of the others in it.
 */
class Door {
  readonly admitted = new Map<string, Presented>()
  readonly #on: Situation
  readonly #suite: CiphersuiteImpl
  readonly #ownId: string
  /** By public key, whose it is. */
  readonly #owners = new Map<string, string>()

  constructor(on: Situation, suite: CiphersuiteImpl) {
    this.#on = on
    this.#suite = suite
    const people = peopleOf(on.group)
    this.#ownId = people.find(({ leaf }) => leaf === on.group.ownLeaf)!.participantId
    for (const person of people) this.#owners.set(encodeBase64url(person.signatureKey), person.participantId)
  }

  /** PolicyError or MLSError unless this KeyPackage can be added beside those that are admitted. */
  async admit(who: string, encoded: Octets): Promise<void> {
    if (who === this.#ownId) throw new PolicyError("This is our own participant id: somebody would be us.")
    const presented = await checkedKeyPackage(this.#suite, encoded, this.#on.wallTimeS)
    if (checkPresented(presented, this.#on.policy).participantId !== who) {
      throw new PolicyError("The KeyPackage is for another participant than the one who knocked.")
    }
    if (this.#on.usedKeyPackages.has(presented.reference)) {
      throw new PolicyError("This KeyPackage was used before.")
    }
    // Each may stand in a group once (RFC 9420 §7.3); the leaf that is swapped may keep its signature key.
    const { member, keyPackage } = presented
    const keys = [member.signatureKey, member.encryptionKey, keyPackage.initKey].map((key) => encodeBase64url(key))
    if (keys.some((key) => (this.#owners.get(key) ?? who) !== who)) {
      throw new PolicyError("Somebody else has one of these keys.")
    }
    for (const key of keys) this.#owners.set(key, who)
    this.admitted.set(who, presented)
  }
}
