/**
 * What a member does while it leads (DESIGN §5): take the work that the server hands out, and commit it.
 *
 * A commit is built as the next group beside the current one and adopted when the log echoes it; refused means
 * dropped, and the work is committed again on top of what was accepted instead.
 */

import { concat, equal, type Octets } from "../bytes.ts"
import { MLSError } from "../mls/errors.ts"
import type { Group } from "../mls/group.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import type { Client, ClientMessage, DismissReason, Server } from "../signaling/messages.ts"
import type { Step } from "./commit_follower.ts"
import { type Adds, Door, isUnwanted, RefusedError, type Situation } from "./door.ts"
import { MemberError, PolicyError, ServerError } from "./errors.ts"
import type { Told } from "./messages.ts"
import { encodePasses } from "./passes.ts"
import type { Policy } from "./policy.ts"
import { LockedError } from "./rules.ts"

const MAX_WORK = 4096 // joins, and leaves: more than any server admits
const MAX_JOINS_IN_COMMIT = 128
/** So many commits are built in an epoch: each uses up a handshake generation, and a server can make terms without end. */
const MAX_BUILDS = 64
const WORN_OUT = `in this epoch ${MAX_BUILDS} commits were built and none came into the log. The server may be changing who leads without end; no more are built before the next epoch.`

/** A knock that a host has to decide about. */
interface Waiting {
  readonly knock: Octets
  readonly reference: Octets
  /** The one that asks for it. */
  readonly policy: Policy
}

/** A commit of ours that the log has not echoed yet. */
export interface CommitUnderWay extends Step {
  readonly message: Octets
  readonly group: Group
  /** Whether our leaf's keys are new by it: not if it only adds. */
  readonly renews: boolean
  /** The knocks that it answers, by participant id. */
  readonly knocks: ReadonlyMap<string, Octets>
  readonly left: ReadonlySet<string>
}

/** What is sent to the server, or said to the members. */
export type Leading = ClientMessage | Told<"lobby_request">

/** The term, the work, and the commit under way. */
export class CommitLeader {
  term = 0
  leader: string | null = null
  wantsRefresh = false
  readonly #suite: CiphersuiteImpl
  readonly #joins = new Map<string, Octets>()
  /** Joins of which the server and the hosts have been told that a host must decide. */
  readonly #waiting = new Map<string, Waiting>()
  readonly #leaves = new Set<string>()
  #pending: CommitUnderWay | undefined
  #refusedAt: number | undefined
  /** The group that was built on last, which is another value in each epoch, and how often. */
  #builtOn: Group | undefined
  #builds = 0
  #hasToldWornOut = false

  constructor(suite: CiphersuiteImpl) {
    this.#suite = suite
  }

  /** Begin in a room where no term was heard of. */
  reset(): void {
    this.term = 0
    this.leader = null
    this.wantsRefresh = false
    this.#joins.clear()
    this.#leaves.clear()
    this.#waiting.clear()
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
      this.#waiting.clear()
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
    if (pending.renews) this.wantsRefresh = false
    // Only what it did: who has knocked once more since then is to be added once more.
    for (const [who, knock] of pending.knocks) if (this.#joins.get(who) === knock) this.#joins.delete(who)
    for (const who of pending.left) this.#leaves.delete(who)
    return pending
  }

  /**
   * What is to be sent: dismissals, what the hosts are to decide, and a commit if there is one to make.
   *
   * MLSError if this group cannot be committed to at all; it is then left alone until the next term or epoch.
   * ServerError, once, if it was committed to too often; it is then left alone until the next epoch.
   */
  async lead(on: Situation): Promise<Leading[]> {
    if (this.#pending !== undefined || this.#refusedAt === on.group.epoch || !this.#hasWork(on)) return []
    if (this.#isWornOut(on.group)) return this.#declineToLead()
    const door = new Door(on, this.#suite)
    if (isUnwanted(on, door.own.signatureKey)) return [] // nobody commits its own removal: the next leader does
    for (const who of on.departed) this.#leaves.add(who)
    const told = await this.#openJoins(on, door)
    for (const who of [...this.#leaves].filter((each) => !door.people.has(each)).sort()) {
      told.push(this.#dismiss(who, "unneeded"))
    }
    if (!(door.admitted.size || this.#leaves.size || this.wantsRefresh || on.isNewPolicy)) return told
    return [...told, await this.#commitWhatCanBe(on, door)]
  }

  #isWornOut(group: Group): boolean {
    return this.#builtOn === group && this.#builds >= MAX_BUILDS
  }

  #declineToLead(): Leading[] {
    if (this.#hasToldWornOut) return []
    this.#hasToldWornOut = true
    throw new ServerError(WORN_OUT)
  }

  #count(group: Group): void {
    if (this.#builtOn !== group) {
      this.#builtOn = group
      this.#builds = 0
      this.#hasToldWornOut = false
    }
    this.#builds += 1
  }

  #hasWork(on: Situation): boolean {
    const mustGo = this.#leaves.size > 0 || on.departed.size > 0
    return mustGo || this.wantsRefresh || on.isNewPolicy || this.#undecided(on).length > 0
  }

  /** Those who knock, but for whom a host is known to have to decide and has not. */
  #undecided(on: Situation): string[] {
    return [...this.#joins].flatMap(([who, knock]) => (this.#stillWaits(who, knock, on) ? [] : [who]))
  }

  #stillWaits(who: string, knock: Octets, on: Situation): boolean {
    const waiting = this.#waiting.get(who)
    if (waiting === undefined || waiting.knock !== knock || !waiting.policy.equals(on.policy)) return false
    return on.lobby.decision(waiting.reference, on.policy, on.linkHost) === undefined
  }

  async #commitWhatCanBe(on: Situation, door: Door): Promise<ClientMessage> {
    try {
      return await this.#commit(on, door, door.admitted)
    } catch (error) {
      if (!(error instanceof MLSError)) throw error
      if (door.admitted.size === 0 || this.#isWornOut(on.group)) {
        this.#refusedAt = on.group.epoch
        throw error
      }
    }
    // One of them spoils it for all, in a way that looking at each did not show: take them singly.
    const [first] = door.admitted
    try {
      return await this.#commit(on, door, new Map([first!]))
    } catch (error) {
      if (!(error instanceof MLSError)) throw error
      return this.#dismiss(first![0], "policy")
    }
  }

  /** The commit that adds these, removes who has left, and is under way from now on. */
  async #commit(on: Situation, door: Door, adds: Adds): Promise<ClientMessage> {
    const gone = door.gone(this.#leaves, adds)
    const joined = [...adds.keys()].sort()
    const passes = encodePasses([...adds.values()].map(({ given }) => given))
    this.#count(on.group)
    const built = await on.group.commit(
      {
        add: [...adds.values()].map(({ presented }) => presented.keyPackage),
        remove: gone.map((who) => door.people.get(who)!.leaf),
        psk: adds.size ? { id: on.policy.pskId, secret: on.keys.linkPsk } : undefined,
        authenticatedData: concat(on.policy.binding, passes),
      },
      on.wallTimeS,
    )
    let sealedPolicy: Octets | null = null
    if (joined.length && on.signedPolicy.length) {
      sealedPolicy = await on.keys.sealPolicy(on.group.groupId, built.group.epoch, on.signedPolicy)
    }
    this.#pending = {
      message: built.message,
      group: built.group,
      committer: on.group.ownLeaf,
      policy: on.policy,
      removes: gone.length > 0,
      renews: built.hasPath,
      keyPackages: [...adds.values()].map(({ presented }) => presented.reference),
      knocks: new Map(joined.map((who) => [who, this.#joins.get(who)!])),
      left: new Set([...this.#leaves, ...gone]),
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

  /** What is to be said of the knocks that may not be added; those that may are `admitted`. */
  async #openJoins(on: Situation, door: Door): Promise<Leading[]> {
    const told: Leading[] = []
    for (const who of this.#undecided(on).slice(0, MAX_JOINS_IN_COMMIT)) {
      const knock = this.#joins.get(who)!
      try {
        const reference = await door.admit(who, await on.keys.openKnock(who, knock))
        if (reference === undefined) continue
        this.#waiting.set(who, { knock, reference, policy: on.policy })
        told.push({ type: "hold", term: this.term, participant_id: who })
        told.push({ type: "lobby_request", participant_id: who, knock })
      } catch (error) {
        told.push(this.#dismiss(who, reasonOf(error)))
      }
    }
    return told
  }

  #dismiss(who: string, reason: DismissReason): Client<"dismiss"> {
    this.#joins.delete(who)
    this.#leaves.delete(who)
    return { type: "dismiss", term: this.term, participant_id: who, reason }
  }
}

function reasonOf(error: unknown): DismissReason {
  if (error instanceof LockedError) return "locked"
  if (error instanceof RefusedError) return "refused"
  if (error instanceof PolicyError || error instanceof MLSError) return "policy"
  if (error instanceof MemberError) return "unreadable"
  throw error
}
