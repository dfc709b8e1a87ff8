/**
 * A participant's side of a meeting, without I/O: signaling messages and `now` in, messages, events and key orders
 * out.
 *
 *     offline ──connected──▶ entering ──there is a group: knock──▶ waiting ──welcome──▶ member ──leave──▶ left
 *                               └────────nobody there: found────────────────────────────▲
 *     member ──an entry that cannot be processed──▶ waiting       any ──a new connection: resume──▶ the same
 *
 * The session holds the MLS group. How one comes into it is in `entrance`, what its commits may do in
 * `commit_follower`, its commits when it leads in `commit_leader`, what members say in `conversation`, what hosts may
 * in `moderation`; every epoch's secret goes to SFrame, and media goes past it. It is the twin of
 * conference/session.py, but for one thing: WebCrypto makes it wait, so whoever drives it calls one method after the
 * other, each when the one before is done.
 */

import { equal, type Octets } from "../bytes.ts"
import { MLSError } from "../mls/errors.ts"
import type { Group } from "../mls/group.ts"
import { type CiphersuiteImpl, loadSuite, signedBy } from "../mls/suite.ts"
import type { ClientMessage, Server, ServerMessage } from "../signaling/messages.ts"
import { DISMISSED, FATAL, OF_COMMITS, RACES } from "./answers.ts"
import { CommitFollower, type Step } from "./commit_follower.ts"
import { CommitLeader, type Leading } from "./commit_leader.ts"
import { Conversation, type Seat } from "./conversation.ts"
import type { Situation } from "./door.ts"
import { Entrance, type Former } from "./entrance.ts"
import { Epochs, secretOf } from "./epochs.ts"
import { MisuseError, ServerError, told } from "./errors.ts"
import { epochChanged, type Event, type KeyOrder } from "./events.ts"
import { type LinkKeys, type MeetingLink, X25519_SUITE, X_WING_SUITE } from "./link.ts"
import type { Message } from "./messages.ts"
import { type Floor, Moderation, REMOVED } from "./moderation.ts"
import { Patience } from "./patience.ts"
import { Policies } from "./policies.ts"
import { Refresh } from "./refresh.ts"
import { type Person, Roster } from "./roster.ts"
import { checkedName, peopleOf } from "./rules.ts"
import { createKeyPair, type HostKey, hostKeyOf } from "./signing.ts"
import type { CodeInput } from "./verification.ts"

const PAST_EPOCHS_S = 10 // how long chat of an epoch that is over can still be read; then its keys are erased
const UNANSWERED =
  "Still waiting: nobody has answered. Either the members cannot, or the server holds back what we ask or what they answer."
const STILL_HERE =
  "The members did not let you in yet. If you were here until a moment ago, they are about to see that you went; trying again."
const FORGOTTEN =
  "The server has given up our place, as it does when somebody is away for long. This participant comes in anew."
/** SFrame suite by MLS suite (DESIGN §6). */
const SFRAME_SUITE_OF: Readonly<Record<number, number>> = { [X25519_SUITE]: 0x0004, [X_WING_SUITE]: 0x0005 }

export type Phase = "offline" | "entering" | "waiting to be let in" | "member" | "left"

/** A clock that never goes back, in seconds, and what to add to it for seconds since 1970. */
export interface Start {
  readonly now: number
  readonly wallTimeS: number
}

/** The keys that we bring: the meeting's host's, and one of our leaf by which members know us from other meetings. */
export interface OwnKeys {
  readonly hostKey?: HostKey | undefined
  readonly lastingKey?: HostKey | undefined
  /** The leaf that the lasting key had in an earlier life: we claim it, to be the same person at once. */
  readonly former?: Former | undefined
  /** That the lasting key has; we go by the name in it. */
  readonly certificates?: readonly Octets[]
}

export class Session implements Floor, Seat {
  readonly name: string
  readonly policies: Policies
  readonly conversation: Conversation
  readonly moderation: Moderation
  readonly roster = new Roster()
  phase: Phase = "offline"
  group: Group | undefined
  /** Whether our leaf's keys are long past their time: see the event. */
  isCodeStale = false
  /** Whether members may know us from other meetings. */
  readonly hasLastingKey: boolean
  #start: Start
  readonly #entrance: Entrance
  readonly #patience: Patience
  readonly #follower: CommitFollower
  readonly #leader: CommitLeader
  readonly #refreshing: Refresh
  /** Of the group that we are in, or were in last. */
  #epochs: Epochs | undefined
  #forgetAt = Infinity
  #outbox: ClientMessage[] = []
  #events: Event[] = []
  #keyOrders: KeyOrder[] = []

  private constructor(
    link: MeetingLink,
    keys: LinkKeys,
    suite: CiphersuiteImpl,
    name: string,
    start: Start,
    { hostKey, lastingKey, former, certificates = [] }: OwnKeys,
    leafKey: HostKey,
    chance: () => number,
  ) {
    this.name = checkedName(name)
    this.policies = new Policies(link, keys)
    this.conversation = new Conversation(this, start.now, chance)
    this.moderation = new Moderation(this, this.policies, suite, hostKey, chance)
    this.#start = start
    this.hasLastingKey = lastingKey !== undefined
    this.#entrance = new Entrance(this.policies, suite, this.name, leafKey, former, certificates)
    this.#patience = new Patience(this.hasLastingKey)
    this.#follower = new CommitFollower(this.policies)
    this.#leader = new CommitLeader(suite)
    this.#refreshing = new Refresh(chance)
  }

  /**
   * `chance` gives numbers from 0 to 1. MisuseError for a name that may be none, or another meeting's host's key.
   */
  static async create(
    link: MeetingLink,
    keys: LinkKeys,
    name: string,
    start: Start,
    ownKeys: OwnKeys = {},
    chance: () => number = Math.random,
  ): Promise<Session> {
    const leafKey = ownKeys.lastingKey ?? (await hostKeyOf(await createKeyPair()))
    const suite = signedBy(await loadSuite(link.suite), leafKey)
    return new Session(link, keys, suite, name, start, ownKeys, leafKey, chance)
  }

  // --- what the driver calls -------------------------------------------------------------------------------

  /** The WebSocket is open: enter, or resume where the last connection ended. The clock may have stood still since. */
  connected(start: Start): void {
    const sleptS = start.wallTimeS - start.now - (this.#start.wallTimeS - this.#start.now)
    if (sleptS > 0) this.conversation.hasSlept(sleptS)
    this.#start = start
    if (this.phase === "left") throw new MisuseError("This session has ended; make a new one to join again.")
    if (this.participantId === undefined) this.#enter()
    else this.send(this.#entrance.resume(this.group?.epoch ?? 0))
  }

  /** Take a message of the server. Media's messages are the driver's and are passed over here. */
  async receive(message: ServerMessage, now: number): Promise<void> {
    if (this.phase === "left") return
    if (this.participantId === undefined && message.type !== "joined" && message.type !== "error") {
      return this.#warn("The server spoke of the meeting before it said who we are.")
    }
    await this.#handle(message, now)
    await this.lead(now)
  }

  /** Do what is due by `now`. */
  async handleTimer(now: number): Promise<void> {
    if (now >= this.#forgetAt) {
      this.#forgetAt = Infinity
      this.group?.forgetPastEpochs(Infinity)
    }
    if (this.#patience.isUp(now) && this.phase === "waiting to be let in") {
      this.happened({ type: "waiting for", text: UNANSWERED })
    }
    if (this.#patience.isRetryDue(now) && this.phase === "waiting to be let in") {
      await this.#knock(this.generation, this.#entrance.groupId, now)
    }
    if (this.phase !== "member") return
    const hasBeaten = await this.conversation.handleTimer(now)
    // Whoever leads says that they are removed, but they are not.
    if (hasBeaten && this.roster.departed(now).size) await this.askToLead(now)
    if (this.#refreshing.isDue(now)) await this.#refresh(now)
    await this.moderation.handleTimer(now)
  }

  /** When `handleTimer` is due next; infinite if never. */
  nextTimer(): number {
    if (this.phase !== "member") return this.#patience.nextTimer()
    const { conversation, moderation } = this
    return Math.min(conversation.nextTimer(), this.#refreshing.nextAt, this.#forgetAt, moderation.nextTimer())
  }

  /** What is to be sent, in order; what has happened, in order; what is to become of media's keys, before both. */
  take(): { messages: ClientMessage[]; events: Event[]; keyOrders: KeyOrder[] } {
    const taken = { messages: this.#outbox, events: this.#events, keyOrders: this.#keyOrders }
    this.#outbox = []
    this.#events = []
    this.#keyOrders = []
    return taken
  }

  // --- what the user does ----------------------------------------------------------------------------------

  /** Go, without grace; every key is erased. */
  leave(): void {
    if (this.phase !== "left") this.end("You left the meeting.")
  }

  /** Replace our leaf's keys as soon as we may lead. */
  async rotate(now: number): Promise<void> {
    if (this.phase !== "member") throw new MisuseError("Keys rotate in a meeting; this session is not in one.")
    await this.#refresh(now)
    this.#refreshing.hasten(now)
  }

  /** What `securityCode` makes this epoch's code from. */
  codeInput(): CodeInput {
    const { groupId, epoch, epochAuthenticator } = this.memberGroup
    return { groupId, epoch, epochAuthenticator }
  }

  /** The link by which others can join now. */
  get link(): MeetingLink {
    return this.policies.link
  }

  get maySendMedia(): boolean {
    return this.phase === "member" && !this.conversation.isIsolated
  }

  /** What the server calls us; undefined until it does. */
  get participantId(): string | undefined {
    return this.#entrance.participantId
  }

  /** Our signature key, by which the others know us. */
  get ownKey(): Octets {
    return this.#entrance.leafKey.key
  }

  /** Our leaf in the group that we are in; undefined outside of one. */
  get leaf(): Former | undefined {
    const { group, participantId } = this
    return group && participantId !== undefined ? { groupId: group.groupId, participantId } : undefined
  }

  get leader(): string | null {
    return this.#leader.leader
  }

  get generation(): number {
    return this.#entrance.generation
  }

  /** Who held a leaf in an epoch that we were in; the same leaf may be somebody else's later. */
  personAt(epoch: number, leaf: number): Person | undefined {
    return this.#epochs?.personAt(epoch, leaf)
  }

  // --- entering --------------------------------------------------------------------------------------------

  async #handle(message: ServerMessage, now: number): Promise<void> {
    switch (message.type) {
      case "joined":
        return this.#onJoined(message, now)
      case "resumed":
        return this.#onResumed(message, now)
      case "founded":
        return this.#onFounded(message, now)
      case "closed":
        return this.#onClosed(message, now)
      case "presence":
        return this.#onPresence(message, now)
      case "leader":
        return this.#onLeader(message)
      case "work":
        return this.#onWork(message)
      case "entry":
        return this.#onEntry(message, now)
      case "refused":
        if (message.generation === this.generation) this.#leader.refuseCommit(message.epoch)
        return
      case "welcome":
        return this.#onWelcome(message, now)
      case "dismissed":
        return this.#onDismissed(message, now)
      case "held":
        if (this.phase === "waiting to be let in") {
          this.#patience.held()
          this.happened({ type: "waiting for", text: "Waiting for the host to let you in." })
        }
        return
      case "acknowledged":
        if (message.generation === this.generation) {
          this.#keyOrders.push({ type: "acknowledged", epoch: message.epoch })
        }
        return
      case "application_from":
        return this.#onApplicationFrom(message, now)
      case "error":
        return this.#onError(message)
    }
  }

  /** Come as somebody new. */
  #enter(): void {
    this.phase = "entering"
    this.#leader.reset()
    this.send(this.#entrance.join())
  }

  async #onJoined(message: Server<"joined">, now: number): Promise<void> {
    if (this.phase !== "entering" || this.participantId !== undefined) {
      return this.#warn("The server greeted this participant twice; only the first was heeded.")
    }
    this.#entrance.greeted(message)
    this.#takeRoom(message, now)
    await this.#enterGeneration(message.generation, message.group_id, now)
  }

  async #onResumed(message: Server<"resumed">, now: number): Promise<void> {
    if (!this.#entrance.takeAnswer()) {
      return this.#warn("The server took up a connection that was not lost; it was not heeded.")
    }
    this.#takeRoom(message, now)
    if (this.phase === "member" && message.generation === this.generation) {
      // It is not in the log, so it never got there.
      if (message.next_epoch === this.memberGroup.epoch) this.#leader.dropCommit()
      this.conversation.tellAgain(now) // what was said meanwhile was lost
      return
    }
    if (this.phase === "member") this.#beginAnew()
    const knock = this.#entrance.knockUnderWay(message.generation, message.group_id)
    if (knock !== undefined) return this.send(knock) // the same: its Welcome may be on the way
    await this.#enterGeneration(message.generation, message.group_id, now)
  }

  #takeRoom(message: Server<"joined"> | Server<"resumed">, now: number): void {
    this.roster.setRoom(
      message.participants.map(({ participant_id, state }) => [participant_id, state] as const),
      now,
    )
    this.#leader.setTerm(message.term, message.leader)
    this.happened({ type: "room changed" })
  }

  /** Knock at the group that there is, or found one. */
  async #enterGeneration(generation: number, groupId: Octets | null, now: number): Promise<void> {
    if (groupId !== null) return this.#knock(generation, groupId, now)
    this.phase = "entering"
    this.send(this.#entrance.found(generation))
  }

  #beginAnew(): void {
    this.#warn("The server has begun this meeting anew: it is another group, with another code.")
    this.#dropGroup()
  }

  async #onFounded(message: Server<"founded">, now: number): Promise<void> {
    if (message.generation <= this.generation) return // this one has begun before
    if (this.phase === "member") this.#beginAnew()
    if (!this.#entrance.isGranted(message)) {
      return this.#enterGeneration(message.generation, message.group_id, now)
    }
    const group = await this.#entrance.createGroup(message.generation, this.#wall(now))
    await this.#adopt(group, undefined, false, now)
  }

  async #onClosed(message: Server<"closed">, now: number): Promise<void> {
    if (this.phase === "member") return this.#warn("The server says that the meeting is over, but we are still in it.")
    if (message.generation >= this.generation) await this.#enterGeneration(message.generation, null, now)
  }

  async #knock(generation: number, groupId: Octets, now: number): Promise<void> {
    this.phase = "waiting to be let in"
    this.#patience.knocked(now)
    this.happened({ type: "waiting for", text: "Waiting for a member of the meeting to let you in." })
    this.send(await this.#entrance.knock(generation, groupId, this.#wall(now)))
  }

  /** After a setback. Whoever causes too many of them is not to be outwaited. */
  async #knockAgain(now: number): Promise<void> {
    if (!this.#patience.endures(now)) {
      return this.end("This participant lost its place in the group again and again, and gives up.")
    }
    await this.#knock(this.generation, this.#entrance.groupId, now)
  }

  async #onDismissed(message: Server<"dismissed">, now: number): Promise<void> {
    const isWaiting = this.phase === "waiting to be let in"
    if (message.reason === "unneeded" && (isWaiting || this.phase === "member")) {
      return this.#lose("The server cannot bring us into step with the group.", now)
    }
    if (!isWaiting) return
    if (message.reason === "policy" && this.#patience.mayRetry(now)) {
      // Our leaf from before a crash may still be there: a key is in the group once (RFC 9420 §7.3).
      return this.happened({ type: "waiting for", text: STILL_HERE })
    }
    this.end(DISMISSED[message.reason])
  }

  async #onWelcome(message: Server<"welcome">, now: number): Promise<void> {
    if (this.phase !== "waiting to be let in" || message.generation !== this.generation) return
    const isKnown = this.#epochs !== undefined && equal(this.#epochs.groupId, this.#entrance.groupId)
    let opened
    try {
      opened = await this.#entrance.openWelcome(message, isKnown ? this.#epochs!.newest : -1)
    } catch (error) {
      this.#warn(`The Welcome was refused: ${told(error)}`)
      return this.#knockAgain(now)
    }
    this.policies.joinUnder(opened.policy, opened.signed)
    await this.#adopt(opened.group, undefined, false, now, { isWelcome: true })
  }

  // --- the log ---------------------------------------------------------------------------------------------

  async #onEntry(message: Server<"entry">, now: number): Promise<void> {
    const group = this.group
    if (this.phase !== "member" || group === undefined || message.generation !== this.generation) return
    if (message.epoch < group.epoch) return // told again after a resume
    if (message.epoch > group.epoch) {
      return this.#lose(`The server left out the commit that ends epoch ${group.epoch}.`, now)
    }
    try {
      const own = this.#leader.takeCommit(message.commit)
      if (own?.renews) this.#renewed()
      await this.#follow(own ?? (await this.#follower.process(group, message.commit, this.#wall(now))), now)
    } catch (error) {
      await this.#lose(`The commit that ends epoch ${group.epoch} was refused: ${told(error)}`, now)
    }
  }

  async #follow(step: Step, now: number): Promise<void> {
    if (step.group === undefined) {
      const isHostsWish = step.policy.excludes(this.ownKey)
      return this.end(isHostsWish ? REMOVED : "The members removed this participant.")
    }
    const committer = this.personAt(step.group.epoch - 1, step.committer)
    const hasNewRules = !step.policy.equals(this.policies.inForce)
    await this.#follower.follow(step)
    await this.#adopt(step.group, committer, step.removes, now, { hasNewRules })
  }

  /** We are out of the group's step: say so, and ask to be let in again (RFC 9420 §16.12). */
  async #lose(why: string, now: number): Promise<void> {
    this.#warn(why)
    if (this.group !== undefined) {
      this.send({ type: "lost", generation: this.generation, epoch: this.group.epoch })
    }
    this.#dropGroup()
    await this.#knockAgain(now)
  }

  #dropGroup(): void {
    this.group = undefined
    this.phase = "entering"
    this.#leader.dropGroup()
    this.#renewed()
    this.conversation.dropGroup()
  }

  /** Make `group` the current one: receive keys first, then everything that shows it. */
  async #adopt(
    group: Group,
    committer: Person | undefined,
    removes: boolean,
    now: number,
    { hasNewRules = false, isWelcome = false } = {},
  ): Promise<void> {
    const people = peopleOf(group)
    const suite = SFRAME_SUITE_OF[this.link.suite]!
    const secret = await secretOf(group, suite)
    const epochs = this.#epochsOf(group.groupId)
    const before = this.group === undefined ? [] : epochs.current
    epochs.adopt(group.epoch, people)
    this.#keyOrders.push({
      type: "adopt",
      groupId: group.groupId,
      suite,
      secret,
      removes,
      owners: new Map(people.map(({ leaf, participantId }) => [leaf, participantId])),
    })
    this.group = group
    this.phase = "member"
    this.#forgetAt = now + PAST_EPOCHS_S
    group.forgetPastEpochs(this.#wall(now) - PAST_EPOCHS_S)
    this.#leader.dropCommit()
    this.roster.setGroup(group.epoch, people, now)
    const others = people.filter(({ leaf }) => leaf !== group.ownLeaf)
    this.conversation.setGroup(group.epoch, others.map(({ leaf }) => leaf), now)
    if (this.#refreshing.nextAt === Infinity) this.#refreshing.schedule(people.length, now)
    const changed = epochChanged(group.epoch, before, people, committer, hasNewRules)
    this.happened(changed)
    this.send({ type: "ack", generation: this.generation, epoch: group.epoch })
    // Before anything is said: only who has said this is a member to the server.
    if (isWelcome) this.send({ type: "welcomed", generation: this.generation, epoch: group.epoch })
    this.#entrance.entered(group.groupId)
    if (changed.joined.length || changed.returned.length) await this.conversation.repeat(now)
    await this.moderation.setGroup(group, people, this.#entrance.leafKey, now)
  }

  /** A group that was begun afresh shares nothing with the one before. */
  #epochsOf(groupId: Octets): Epochs {
    if (this.#epochs === undefined || !equal(this.#epochs.groupId, groupId)) this.#epochs = new Epochs(groupId)
    return this.#epochs
  }

  // --- leading ---------------------------------------------------------------------------------------------

  #onLeader(message: Server<"leader">): void {
    if (!this.#leader.setTerm(message.term, message.leader)) {
      this.#warn("The server announced a leader under a term that is over; it was not heeded.")
    }
  }

  #onWork(message: Server<"work">): void {
    if (message.term !== this.#leader.term || this.#leader.leader !== this.participantId) {
      return this.#warn("The server gave the leader's work to somebody who does not lead.")
    }
    this.#leader.addWork(message)
  }

  /** Commit what is to be committed, if it is ours to do. */
  async lead(now: number): Promise<void> {
    if (this.phase !== "member" || this.#leader.leader !== this.participantId) return
    const { policy, signed } = this.policies.newest
    const on: Situation = {
      group: this.memberGroup,
      generation: this.generation,
      policy,
      signedPolicy: signed,
      isNewPolicy: !policy.equals(this.policies.inForce),
      usedKeyPackages: this.#follower.usedKeyPackages,
      linkHost: this.link.host,
      keys: this.policies.keysOf(policy),
      lobby: this.moderation.lobby,
      departed: this.roster.departed(now),
      wallTimeS: this.#wall(now),
    }
    let built: Leading[]
    try {
      built = await this.#leader.lead(on)
    } catch (error) {
      if (!(error instanceof MLSError || error instanceof ServerError)) throw error
      return this.#warn(`This participant leads, but cannot commit: ${error.message}`)
    }
    // Who was added since it was announced has not heard of it, and would refuse the commit.
    if (on.isNewPolicy && built.some(({ type }) => type === "commit")) {
      await this.tell({ type: "policy_notice", signed })
    }
    for (const each of built) {
      if (each.type !== "lobby_request") this.send(each)
      else {
        await this.tell(each)
        await this.moderation.hearRequest(each, now, this.#wall(now))
      }
    }
  }

  async #refresh(now: number): Promise<void> {
    this.#refreshing.asked(now)
    this.#tellStaleness()
    this.#leader.wantsRefresh = true
    await this.askToLead(now)
  }

  /** There is something to commit, whoever leads now. */
  async askToLead(now: number): Promise<void> {
    if (this.#leader.leader === this.participantId) await this.lead(now)
    else this.send({ type: "lead", term: this.#leader.term })
  }

  /** Our leaf's keys are new, or we have none. */
  #renewed(): void {
    this.#refreshing.reset()
    this.#tellStaleness()
  }

  #tellStaleness(): void {
    if (this.isCodeStale === this.#refreshing.isStale) return
    this.isCodeStale = this.#refreshing.isStale
    this.happened({ type: "code stale", on: this.isCodeStale })
  }

  // --- what members say ------------------------------------------------------------------------------------

  /** Say this to all members. */
  tell(message: Message): Promise<void> {
    return this.conversation.tell(message)
  }

  async #onApplicationFrom(message: Server<"application_from">, now: number): Promise<void> {
    if (this.phase !== "member" || message.generation !== this.generation) return
    const heard = await this.conversation.receive(message, now)
    if (heard !== undefined) await this.moderation.hear(heard.sender, heard.said, now, this.#wall(now))
  }

  // --- the server's list, and the end ----------------------------------------------------------------------

  #onPresence(message: Server<"presence">, now: number): void {
    this.roster.setPresence(message.participant_id, message.state === "left" ? undefined : message.state, now)
    if (message.state === "left") this.moderation.gone(message.participant_id)
    this.happened({ type: "room changed" })
  }

  #onError(message: Server<"error">): void {
    if (message.code === "cannot_resume" && this.#entrance.takeAnswer()) return this.#comeAsSomebodyNew()
    if (FATAL.includes(message.code)) return this.end(`The server ended the connection: ${message.message}`)
    if (OF_COMMITS.includes(message.code) && this.group !== undefined) this.#leader.refuseCommit(this.group.epoch)
    if (!RACES.includes(message.code)) this.#warn(`The server refused a message: ${message.message}`)
  }

  #comeAsSomebodyNew(): void {
    if (this.phase === "member") {
      this.#warn(FORGOTTEN)
    }
    this.#dropGroup()
    this.#enter()
  }

  /** The meeting is over for us; every key is erased. */
  end(reason: string): void {
    if (this.phase !== "offline") this.send({ type: "leave" }) // or our place would be kept for a while
    this.phase = "left"
    this.group = undefined
    this.#leader.dropGroup()
    this.#entrance.forgetKnock()
    this.#keyOrders.push({ type: "erase" })
    this.happened({ type: "ended", reason })
  }

  // --- small things ----------------------------------------------------------------------------------------

  /** The group that we are in; MisuseError if we are in none. */
  get memberGroup(): Group {
    if (this.phase !== "member" || this.group === undefined) {
      throw new MisuseError("This needs to be in the meeting; this session is not.")
    }
    return this.group
  }

  #wall(now: number): number {
    return now - this.#start.now + this.#start.wallTimeS
  }

  /** What the server is told next. */
  send(message: ClientMessage): void {
    this.#outbox.push(message)
  }

  /** What the driver is told next. */
  happened(event: Event): void {
    this.#events.push(event)
  }

  /** Whether the server says that there is such a participant. */
  isInRoom(participantId: string): boolean {
    return this.roster.isInRoom(participantId)
  }

  #warn(text: string): void {
    this.happened({ type: "warned", text })
  }
}
