/**
 * What hosts may do in a meeting, and what follows: policies, the lobby, mute requests (DESIGN §3, §4).
 *
 * Nothing here is the server's to decide: a policy and a decision are signed by a host's key, and every member holds
 * every commit to them (`rules`).
 */

import { decodeBase64url, encodeBase64url, equal, type Octets, random } from "../bytes.ts"
import { MLSError } from "../mls/errors.ts"
import type { Group } from "../mls/group.ts"
import { checkedKeyPackage } from "../mls/key_package.ts"
import type { CiphersuiteImpl } from "../mls/suite.ts"
import { MemberError, MisuseError, PolicyError } from "./errors.ts"
import type { Event } from "./events.ts"
import { type Change, Hosting } from "./hosting.ts"
import { hostHash, SECRET_SIZE } from "./link.ts"
import { Lobby } from "./lobby.ts"
import type { Message, Told } from "./messages.ts"
import { createAdmission, decodeKnock, verifyAdmission } from "./passes.ts"
import type { Policies } from "./policies.ts"
import { createFurtherHost, type FurtherHost, type Policy } from "./policy.ts"
import { isSamePerson, type Person } from "./roster.ts"
import { checkPresented, type Newcomer } from "./rules.ts"
import type { HostKey } from "./signing.ts"

const ENDED = "A host has ended the meeting for all. Who opens the link again begins a new one."
export const REMOVED = "A host has removed you from the meeting."
/** A policy that is not in force so long after it was announced is one that the leader sits out. */
const URGE_S = 2
const OWN_URGE_S = 0.5 // so long, for the host that announced it
const WITHHELD_S = 10
const WITHHELD =
  "What a host has decided is not in force after ten seconds: the server, or who leads, may be keeping it back. It is asked for again and again."
const MAX_SEEN = 4096

/** What moderation needs of the session that it belongs to. */
export interface Floor {
  /** Say something to all members. */
  tell(message: Message): Promise<void>
  /** Tell the driver. */
  happened(event: Event): void
  /** Commit, if it is ours to do. */
  lead(now: number): Promise<void>
  /** Have the server give us the lead. */
  askToLead(now: number): Promise<void>
  /** Whether the server says that there is such a participant. */
  isInRoom(participantId: string): boolean
  /** The meeting is over for us. */
  end(reason: string): void
}

/** One member's view of who decides and what was decided; and, for a host, the deciding. */
export class Moderation {
  readonly policies: Policies
  readonly lobby = new Lobby()
  readonly #floor: Floor
  readonly #suite: CiphersuiteImpl
  /** That of the meeting's host, if we are it. */
  readonly #hostKey: HostKey | undefined
  readonly #chance: () => number
  readonly #hosting = new Hosting()
  #people: readonly Person[] = []
  #own: Person | undefined
  #leafKey: HostKey | undefined
  #groupId: Octets = new Uint8Array()
  /** What nobody would heed until we are listed. */
  #unsaid: Told<"mute_request">[] = []
  /** Signature keys that were in the group: who falls out of it need not be asked about again. */
  #seen = new Set<string>()
  #urgeAt = Infinity
  #urgeS = URGE_S
  /** When what was announced is not in force for so long that somebody seems to keep it back. */
  #withheldAt = Infinity
  /** The policy in force that the driver has heard of. */
  #told: Policy | undefined

  /** MisuseError if the host's key is another meeting's. */
  constructor(
    floor: Floor,
    policies: Policies,
    suite: CiphersuiteImpl,
    hostKey: HostKey | undefined,
    chance: () => number,
  ) {
    if (hostKey !== undefined && !equal(hostHash(hostKey.key), policies.link.host)) {
      throw new MisuseError("This host key belongs to another meeting than the link.")
    }
    this.#floor = floor
    this.policies = policies
    this.#suite = suite
    this.#hostKey = hostKey
    this.#chance = chance
  }

  // --- who is who ------------------------------------------------------------------------------------------

  /** Whether we may decide. */
  get isHost(): boolean {
    return this.#signer !== undefined
  }

  /** Whether we are the host that the link names, who alone names others. */
  get isLinksHost(): boolean {
    return this.#hostKey !== undefined
  }

  /** Whether a member is known as a host. */
  isHosts(person: Person): boolean {
    return this.policies.inForce.lists(person.signatureKey)
  }

  /** Who waits for a host's decision, as far as we, being a host, were asked. */
  get waiting(): readonly Person[] {
    return this.lobby.waiting
  }

  /** The key by which we decide: the link's host's, or that of our leaf if it was named. */
  get #signer(): HostKey | undefined {
    if (this.#hostKey !== undefined || this.#leafKey === undefined) return this.#hostKey
    return this.policies.inForce.lists(this.#leafKey.key) ? this.#leafKey : undefined
  }

  #deciding(): HostKey {
    const signer = this.#signer
    if (signer === undefined) throw new MisuseError("Only a host of the meeting can do this.")
    return signer
  }

  #present(participantId: string): Person {
    const found = this.#people.find((each) => each.participantId === participantId)
    if (found === undefined || isSamePerson(found, this.#own)) {
      throw new MisuseError("There is no such other person in the meeting.")
    }
    return found
  }

  /** MisuseError unless we are the link's host. */
  #grant(signatureKey: Octets): Promise<FurtherHost> {
    if (this.#hostKey === undefined) {
      throw new MisuseError("Only the host that the meeting link names can name or strike out others.")
    }
    return createFurtherHost(this.#hostKey, this.policies.link.meetingId, signatureKey)
  }

  // --- a host acts -----------------------------------------------------------------------------------------

  /** Let somebody in who waits, or turn it away. */
  decide(participantId: string, admitted: boolean, now: number): Promise<void> {
    return this.#decide(participantId, admitted, now)
  }

  /** Whether a host has to let in who comes; whether nobody is let in at all. */
  setFlag(name: "lobby" | "locked", on: boolean, now: number): Promise<void> {
    return this.#want({ type: "flag", name, on }, now)
  }

  /** Send somebody out. It may knock again, so the lobby is on from now on. */
  remove(participantId: string, now: number): Promise<void> {
    return this.#want({ type: "remove", key: this.#present(participantId).signatureKey }, now)
  }

  /** Send somebody out, or away from the door, and do not let its signature key in again. */
  async bar(participantId: string, now: number): Promise<void> {
    const waiting = this.lobby.who(participantId)
    const who = waiting?.person ?? this.#present(participantId)
    await this.#want({ type: "bar", key: who.signatureKey }, now)
    if (waiting !== undefined) await this.#decide(participantId, false, now)
  }

  /** Give the meeting a new link; the old one opens nothing from then on. */
  changeLink(now: number): Promise<void> {
    return this.#want({ type: "change link", secret: random(SECRET_SIZE) }, now)
  }

  /** Let somebody decide as we do. Only for the link's host. */
  async nameHost(participantId: string, now: number): Promise<void> {
    const host = await this.#grant(this.#present(participantId).signatureKey)
    await this.#want({ type: "name host", host }, now)
  }

  /** Let it no longer. Only for the link's host. */
  async strikeHost(participantId: string, now: number): Promise<void> {
    const { signatureKey } = this.#present(participantId)
    await this.#grant(signatureKey)
    await this.#want({ type: "strike host", key: signatureKey }, now)
  }

  /** Everybody leaves, we too. */
  endForAll(now: number): Promise<void> {
    return this.#want({ type: "flag", name: "ended", on: true }, now)
  }

  /** Ask somebody, or everybody, to fall silent. They heed who is listed as a host. */
  async requestMute(participantId: string | null, now: number): Promise<void> {
    this.#deciding()
    if (participantId !== null) this.#present(participantId)
    const request = { type: "mute_request", participant_id: participantId } as const
    if (this.#own !== undefined && !this.isHosts(this.#own)) {
      this.#unsaid.push(request)
      return this.#listOurselves(now)
    }
    await this.#floor.tell(request)
  }

  async #want(change: Change, now: number): Promise<void> {
    this.#deciding()
    this.#hosting.want(change)
    await this.#announceWhatIsWanted(now)
  }

  async #announceWhatIsWanted(now: number): Promise<void> {
    const signer = this.#signer
    if (signer === undefined) return this.#hosting.forget()
    const present = new Set(this.#people.map(({ signatureKey }) => encodeBase64url(signatureKey)))
    const policy = this.#hosting.nextPolicy(this.policies.inForce, this.policies.newest.policy, present)
    if (policy === undefined) return
    try {
      await this.announce(await policy.sign(signer), now)
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      // Another host's is on its way into force; ours follows that one then.
    }
  }

  /** Tell the members a policy that a host signed. PolicyError if it is none that may follow. */
  async announce(signed: Octets, now: number): Promise<void> {
    await this.policies.announce(signed)
    await this.#floor.tell({ type: "policy_notice", signed })
    this.#urgeS = OWN_URGE_S
    this.#heardPolicy(now)
    await this.#floor.lead(now)
  }

  async #decide(participantId: string, admitted: boolean, now: number): Promise<void> {
    const signer = this.#deciding()
    const newcomer = this.lobby.who(participantId)
    if (newcomer === undefined) throw new MisuseError("Nobody of that name waits to be let in any more.")
    const { reference } = newcomer
    const { host, signature } = await createAdmission(signer.key, signer.sign, this.#groupId, reference, admitted)
    const decision = { type: "decision", participant_id: participantId, reference, admitted, host, signature } as const
    await this.#takeDecision(decision, now)
    await this.#floor.tell(decision)
  }

  // --- what the members say --------------------------------------------------------------------------------

  /** Whatever of it is about moderation. */
  async hear(sender: Person, said: Message, now: number, wallTimeS: number): Promise<void> {
    switch (said.type) {
      case "policy_notice":
        return this.hearPolicy(sender, said, now)
      case "mute_request":
        return this.hearMuteRequest(sender, said)
      case "lobby_request":
        return this.hearRequest(said, now, wallTimeS)
      case "decision":
        return this.hearDecision(sender, said, now)
    }
  }

  /** Somebody passes on a policy. */
  async hearPolicy(sender: Person, told: Told<"policy_notice">, now: number): Promise<void> {
    try {
      await this.policies.announce(told.signed)
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      return this.#warn(`${sender.name} announced a policy that was refused: ${error.message}`)
    }
    this.#heardPolicy(now)
  }

  /** The leader says that somebody knocks; we may be one who decides. */
  async hearRequest(told: Told<"lobby_request">, now: number, wallTimeS: number): Promise<void> {
    if (!this.isHost || !this.#floor.isInRoom(told.participant_id)) return
    let newcomer: Newcomer
    try {
      newcomer = await this.#open(told, wallTimeS)
    } catch (error) {
      // Whoever passed it on is not to be believed about it, and its leader's turn ends.
      if (error instanceof MemberError || error instanceof MLSError) return
      throw error
    }
    const decided = this.lobby.decision(newcomer.reference, this.policies.inForce, this.policies.link.host)
    if (decided !== undefined) return this.#floor.tell(decided)
    if (!this.lobby.ask(newcomer)) return
    if (this.#seen.has(encodeBase64url(newcomer.person.signatureKey))) {
      return this.#decide(newcomer.person.participantId, true, now)
    }
    this.#tellWaiting()
  }

  /** Who knocks, seen for oneself. Throws MLSError or MemberError. */
  async #open(told: Told<"lobby_request">, wallTimeS: number): Promise<Newcomer> {
    const { policy } = this.policies.newest
    const knock = await this.policies.keysOf(policy).openKnock(told.participant_id, told.knock)
    const presented = await checkedKeyPackage(this.#suite, decodeKnock(knock).keyPackage, wallTimeS)
    const person = checkPresented(presented, policy)
    if (person.participantId !== told.participant_id) {
      throw new PolicyError("The KeyPackage is for another participant than the one who knocked.")
    }
    return { person, reference: decodeBase64url(presented.reference)! }
  }

  /** A host has decided; the next commit may be ours to make. */
  async hearDecision(sender: Person, told: Told<"decision">, now: number): Promise<void> {
    try {
      const { host, signature } = told
      if (!this.policies.lawful().some((policy) => policy.hasHost(host, this.policies.link.host))) {
        throw new PolicyError("Who signed the decision is no host of this meeting.")
      }
      await verifyAdmission({ ground: "host", host, signature }, this.#groupId, told.reference, told.admitted)
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error
      return this.#warn(`${sender.name} passed on what no host decided: ${error.message}`)
    }
    await this.#takeDecision(told, now)
  }

  async #takeDecision(decision: Told<"decision">, now: number): Promise<void> {
    const before = this.waiting
    this.lobby.decide(decision)
    for (const person of before.filter((each) => !this.waiting.includes(each))) {
      this.#tellWaiting()
      if (!decision.admitted) this.#floor.happened({ type: "turned away", person })
    }
    await this.#floor.lead(now)
  }

  /** Somebody asks for silence; only hosts are heeded. */
  hearMuteRequest(sender: Person, told: Told<"mute_request">): void {
    const isForUs = told.participant_id === null || told.participant_id === this.#own?.participantId
    if (isForUs && this.isHosts(sender)) this.#floor.happened({ type: "mute requested", sender })
  }

  // --- the group and the clock -----------------------------------------------------------------------------

  /** The group is at a new epoch, under the policy that is in force now. */
  async setGroup(group: Group, people: readonly Person[], leafKey: HostKey, now: number): Promise<void> {
    if (!equal(group.groupId, this.#groupId)) {
      this.lobby.reset()
      this.#hosting.forget()
      this.#seen.clear()
    }
    this.#groupId = group.groupId
    this.#people = people
    this.#leafKey = leafKey
    this.#own = people.find(({ leaf }) => leaf === group.ownLeaf)
    this.#remember(people)
    if (this.lobby.forget(people.map(({ participantId }) => participantId))) this.#tellWaiting()
    this.#tellOfPolicy()
    if (this.policies.inForce.document.ended) return this.#floor.end(ENDED)
    await this.#presentOurselves(now)
    await this.#announceWhatIsWanted(now)
  }

  #remember(people: readonly Person[]): void {
    for (const { signatureKey } of people) this.#seen.add(encodeBase64url(signatureKey))
    const { removed, barred } = this.policies.inForce.document
    for (const key of [...removed, ...barred]) this.#seen.delete(encodeBase64url(key))
    while (this.#seen.size > MAX_SEEN) {
      const [oldest] = this.#seen
      this.#seen.delete(oldest!)
    }
  }

  #tellOfPolicy(): void {
    const before = this.#told
    const policy = this.policies.inForce
    if (before !== undefined && policy.equals(before)) return
    this.#told = policy
    if (before !== undefined || policy.version) this.#floor.happened({ type: "policy changed", document: policy.document })
    if (before !== undefined && policy.linkGeneration !== before.linkGeneration) {
      this.#floor.happened({ type: "link changed", link: this.policies.link.spell() })
    }
  }

  /**
   * The link's host lists its leaf, so that everybody sees who it is. Where a host is listed already, as one who has
   * several devices is, the others wait until they act.
   */
  async #presentOurselves(now: number): Promise<void> {
    if (this.#own !== undefined && this.isHosts(this.#own)) {
      for (const request of this.#unsaid.splice(0)) await this.#floor.tell(request)
    } else if (this.#hostKey !== undefined && !this.#people.some((person) => this.isHosts(person))) {
      await this.#listOurselves(now)
    }
  }

  async #listOurselves(now: number): Promise<void> {
    if (this.#own === undefined) return
    await this.#want({ type: "name host", host: await this.#grant(this.#own.signatureKey) }, now)
  }

  /** The server says that somebody is not in the room any more. */
  gone(participantId: string): void {
    if (this.lobby.forget([participantId])) this.#tellWaiting()
  }

  #heardPolicy(now: number): void {
    const { policy } = this.policies.newest
    if (policy.document.ended) return this.#floor.end(ENDED)
    if (!policy.equals(this.policies.inForce) && this.#urgeAt === Infinity) {
      this.#urgeAt = now + this.#pause()
      this.#withheldAt = now + WITHHELD_S
    }
  }

  /** Spread, so that not all ask at once. */
  #pause(): number {
    return this.#urgeS * (1 + this.#chance())
  }

  /** See to it that what was announced comes into force, whatever the leader does. */
  async handleTimer(now: number): Promise<void> {
    if (now < this.#urgeAt) return
    const { policy } = this.policies.newest
    const isUnwanted = this.#own !== undefined && policy.excludes(this.#own.signatureKey)
    if (policy.equals(this.policies.inForce) || isUnwanted) {
      this.#urgeAt = Infinity
      this.#urgeS = URGE_S
      return
    }
    this.#urgeAt = now + this.#pause()
    if (now >= this.#withheldAt) {
      this.#withheldAt = Infinity
      this.#warn(WITHHELD)
    }
    await this.#floor.askToLead(now)
  }

  /** When `handleTimer` is due next; infinite if never. */
  nextTimer(): number {
    return this.#urgeAt
  }

  #tellWaiting(): void {
    this.#floor.happened({ type: "lobby changed", waiting: this.waiting })
  }

  #warn(text: string): void {
    this.#floor.happened({ type: "warned", text })
  }
}
