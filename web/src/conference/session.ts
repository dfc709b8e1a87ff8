/**
 * A participant's side of a meeting, without I/O: signaling messages and `now` in, messages, events and key orders
 * out.
 *
 *     offline ──connected──▶ entering ──there is a group: knock──▶ waiting ──welcome──▶ member ──leave──▶ left
 *                               └────────nobody there: found────────────────────────────▲
 *     member ──an entry that cannot be processed──▶ waiting       any ──a new connection: resume──▶ the same
 *
 * The session holds the MLS group, obeys and enforces the meeting's rules (`rules`), commits when it leads
 * (`commit_leader`), and hands every epoch's secret to SFrame. Media goes past it. It is the twin of
 * conference/session.py, but for one thing: WebCrypto makes it wait, so whoever drives it calls one method after the
 * other, each when the one before is done.
 */

import { equal, type Octets } from "../bytes.ts"
import { MLSError } from "../mls/errors.ts"
import type { ApplicationMessage, Group } from "../mls/group.ts"
import { type CiphersuiteImpl, loadSuite, signedBy } from "../mls/suite.ts"
import type { ErrorCode } from "../signaling/errors.ts"
import type { ClientMessage, DismissReason, Server, ServerMessage } from "../signaling/messages.ts"
import { CommitLeader, type Leading, type Situation } from "./commit_leader.ts"
import { Entrance } from "./entrance.ts"
import type { EpochSecret } from "./epoch_keys.ts"
import { Epochs } from "./epochs.ts"
import { MemberError, MisuseError } from "./errors.ts"
import type { Event, KeyOrder } from "./events.ts"
import { Heartbeats } from "./heartbeat.ts"
import { type LinkKeys, type MeetingLink, X25519_SUITE, X_WING_SUITE } from "./link.ts"
import * as messages from "./messages.ts"
import { Moderation, REMOVED } from "./moderation.ts"
import { Policies } from "./policies.ts"
import { type Person, isReturned, isSamePerson, Roster } from "./roster.ts"
import { checkCommit, checkedName, peopleOf } from "./rules.ts"
import { type Sending, SendingNews } from "./sending_news.ts"
import { createKeyPair, type HostKey, hostKeyOf } from "./signing.ts"
import type { CodeInput } from "./verification.ts"

const REFRESH_S = 300
const REFRESH_PER_MEMBER_S = 10
const ASK_AGAIN_S = 10 // for a refresh that was not granted, or whose commit was lost
const ASK_SOON_S = 1.5 // for who does not want to wait: a term that has just begun is over its first second by then
const PAST_EPOCHS_S = 10 // how long chat of an epoch that is over can still be read; then its keys are erased
const STALE_S = 900 // a refresh that is so long past due is kept from us on purpose
const PATIENCE_S = 15
const UNANSWERED =
  "Still waiting: nobody has answered. Either the members cannot, or the server holds back what we ask or what they answer."
const RETRIES = 3 // of who has a lasting key, for longer than a grace lasts
const RETRY_S = 5
const STILL_HERE =
  "The members did not let you in yet. If you were here until a moment ago, they are about to see that you went; trying again."
const MAX_SETBACKS = 5 // who loses its place more often than that in SETBACK_S gives up
const SETBACK_S = 60
/** SFrame suite and size of its keys, by MLS suite (DESIGN §6). */
const SFRAME: Readonly<Record<number, { readonly suite: number; readonly keySize: number }>> = {
  [X25519_SUITE]: { suite: 0x0004, keySize: 16 },
  [X_WING_SUITE]: { suite: 0x0005, keySize: 32 },
}

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
}

export class Session {
  readonly name: string
  readonly policies: Policies
  readonly moderation: Moderation
  readonly roster = new Roster()
  phase: Phase = "offline"
  group: Group | undefined
  /** What we cannot decrypt; heartbeats carry it. */
  troubles: readonly messages.Trouble[] = []
  isIsolated = false
  /** Whether our leaf's keys are long past their time: see the event. */
  isCodeStale = false
  /** Whether members may know us from other meetings. */
  readonly hasLastingKey: boolean
  readonly #start: Start
  readonly #chance: () => number
  readonly #entrance: Entrance
  readonly #leader: CommitLeader
  /** Of the group that we are in, or were in last. */
  #epochs: Epochs | undefined
  #setbacks: number[] = []
  readonly #usedKeyPackages = new Set<string>()
  #heartbeats = new Heartbeats()
  #refreshAt = Infinity
  #refreshDue: number | undefined
  #impatientAt = Infinity
  #retryAt = Infinity
  #retries = 0
  #forgetAt = Infinity
  #outbox: ClientMessage[] = []
  #events: Event[] = []
  #keyOrders: KeyOrder[] = []
  #hasHandUp = false
  readonly #sendingNews: SendingNews

  private constructor(
    link: MeetingLink,
    keys: LinkKeys,
    suite: CiphersuiteImpl,
    name: string,
    start: Start,
    { hostKey, lastingKey }: OwnKeys,
    leafKey: HostKey,
    chance: () => number,
  ) {
    this.name = checkedName(name)
    this.policies = new Policies(link, keys)
    const floor = {
      tell: (message: messages.Message) => this.#tell(message),
      happened: (event: Event) => void this.#events.push(event),
      lead: (now: number) => this.#lead(now),
      askToLead: (now: number) => this.#askToLead(now),
      isInRoom: (participantId: string) => this.roster.isInRoom(participantId),
      end: (reason: string) => this.#end(reason),
    }
    this.moderation = new Moderation(floor, this.policies, suite, hostKey, chance)
    this.hasLastingKey = lastingKey !== undefined
    this.#start = start
    this.#chance = chance
    this.#sendingNews = new SendingNews(chance)
    this.#entrance = new Entrance(this.policies, suite, this.name, leafKey)
    this.#leader = new CommitLeader(suite)
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

  /** The WebSocket is open: enter, or resume where the last connection ended. */
  connected(): void {
    if (this.phase === "left") throw new MisuseError("This session has ended; make a new one to join again.")
    if (this.participantId === undefined) this.#enter()
    else this.#send(this.#entrance.resume(this.group?.epoch ?? 0))
  }

  /** Take a message of the server. Media's messages are the driver's and are passed over here. */
  async receive(message: ServerMessage, now: number): Promise<void> {
    if (this.phase === "left") return
    if (this.participantId === undefined && message.type !== "joined" && message.type !== "error") {
      return this.#warn("The server spoke of the meeting before it said who we are.")
    }
    await this.#handle(message, now)
    await this.#lead(now)
  }

  /** Do what is due by `now`. */
  async handleTimer(now: number): Promise<void> {
    if (now >= this.#forgetAt) {
      this.#forgetAt = Infinity
      this.group?.forgetPastEpochs(this.#wall(now))
    }
    if (now >= this.#impatientAt) {
      this.#impatientAt = Infinity
      if (this.phase === "waiting to be let in") this.#events.push({ type: "waiting for", text: UNANSWERED })
    }
    if (now >= this.#retryAt) {
      this.#retryAt = Infinity
      if (this.phase === "waiting to be let in") await this.#knock(this.generation, this.#entrance.groupId, now)
    }
    if (this.phase !== "member") return
    if (this.#heartbeats.isDue(now)) {
      const troubles = this.troubles.slice(0, messages.MAX_TROUBLES)
      const sent_ms = Math.round((now - this.#start.now) * 1000)
      await this.#tell({ type: "heartbeat", epoch: this.#memberGroup.epoch, troubles, sent_ms })
      this.#checkIsolation(now)
      // Whoever leads says that they are removed, but they are not.
      if (this.roster.departed(now).size) await this.#askToLead(now)
    }
    if (now >= this.#refreshAt) await this.#refresh(now)
    const sending = this.#sendingNews.take(now)
    if (sending !== undefined) await this.#tell({ type: "sending", ...sending })
    await this.moderation.handleTimer(now)
  }

  /** When `handleTimer` is due next; infinite if never. */
  nextTimer(): number {
    return this.phase === "member"
      ? Math.min(
          this.#heartbeats.nextAt,
          this.#refreshAt,
          this.#forgetAt,
          this.#sendingNews.nextAt,
          this.moderation.nextTimer(),
        )
      : Math.min(this.#impatientAt, this.#retryAt)
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
    if (this.phase !== "left") this.#end("You left the meeting.")
  }

  /** Say something to all members. */
  async chat(text: string): Promise<void> {
    await this.#tell({ type: "chat", text })
  }

  /** Show all members a sign for a moment. */
  async react(emoji: string): Promise<void> {
    await this.#tell({ type: "reaction", emoji })
  }

  /** Show all members, and who comes later, that we would like to speak. */
  async raiseHand(raised: boolean): Promise<void> {
    await this.#tell({ type: "hand", raised })
    this.#hasHandUp = raised
  }

  /** What we send: told to all members when it changes, and to who comes later. Any time. */
  setSending(sending: Sending, now: number): void {
    this.#sendingNews.set(sending, now)
  }

  /** What we cannot decrypt: told to all in each heartbeat, and at once when it is other than before. */
  reportTroubles(troubles: readonly messages.Trouble[], now: number): void {
    const isNews = withoutTimes(troubles) !== withoutTimes(this.troubles)
    this.troubles = troubles
    if (isNews) this.#heartbeats.hasten(now)
  }

  /** Replace our leaf's keys as soon as we may lead. */
  async rotate(now: number): Promise<void> {
    if (this.phase !== "member") throw new MisuseError("Keys rotate in a meeting; this session is not in one.")
    await this.#refresh(now)
    this.#refreshAt = now + ASK_SOON_S
  }

  /** What `securityCode` makes this epoch's code from. */
  codeInput(): CodeInput {
    const { groupId, epoch, epochAuthenticator } = this.#memberGroup
    return { groupId, epoch, epochAuthenticator }
  }

  /** The link by which others can join now. */
  get link(): MeetingLink {
    return this.policies.link
  }

  get maySendMedia(): boolean {
    return this.phase === "member" && !this.isIsolated
  }

  /** What the server calls us; undefined until it does. */
  get participantId(): string | undefined {
    return this.#entrance.participantId
  }

  /** Our signature key, by which the others know us. */
  get ownKey(): Octets {
    return this.#entrance.leafKey.key
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
          this.#impatientAt = Infinity // a host may take its time
          this.#events.push({ type: "waiting for", text: "Waiting for the host to let you in." })
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
    this.#send(this.#entrance.join())
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
      if (message.next_epoch === this.#memberGroup.epoch) this.#leader.dropCommit()
      this.#sendingNews.tellAgain(now) // what was said meanwhile was lost
      return
    }
    if (this.phase === "member") this.#beginAnew()
    const knock = this.#entrance.knockUnderWay(message.generation, message.group_id)
    if (knock !== undefined) return this.#send(knock) // the same: its Welcome may be on the way
    await this.#enterGeneration(message.generation, message.group_id, now)
  }

  #takeRoom(message: Server<"joined"> | Server<"resumed">, now: number): void {
    this.roster.setRoom(
      message.participants.map(({ participant_id, state }) => [participant_id, state] as const),
      now,
    )
    this.#leader.setTerm(message.term, message.leader)
    this.#events.push({ type: "room changed" })
  }

  /** Knock at the group that there is, or found one. */
  async #enterGeneration(generation: number, groupId: Octets | null, now: number): Promise<void> {
    if (groupId !== null) return this.#knock(generation, groupId, now)
    this.phase = "entering"
    this.#send(this.#entrance.found(generation))
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
    this.#impatientAt = now + PATIENCE_S
    this.#events.push({ type: "waiting for", text: "Waiting for a member of the meeting to let you in." })
    this.#send(await this.#entrance.knock(generation, groupId, this.#wall(now)))
  }

  /** After a setback. Whoever causes too many of them is not to be outwaited. */
  async #knockAgain(now: number): Promise<void> {
    this.#setbacks = [...this.#setbacks.filter((at) => now - at < SETBACK_S), now]
    if (this.#setbacks.length > MAX_SETBACKS) {
      return this.#end("This participant lost its place in the group again and again, and gives up.")
    }
    await this.#knock(this.generation, this.#entrance.groupId, now)
  }

  async #onDismissed(message: Server<"dismissed">, now: number): Promise<void> {
    const isWaiting = this.phase === "waiting to be let in"
    if (message.reason === "unneeded" && (isWaiting || this.phase === "member")) {
      return this.#lose("The server cannot bring us into step with the group.", now)
    }
    if (!isWaiting) return
    if (message.reason === "policy" && this.hasLastingKey && this.#retries < RETRIES) {
      // Our leaf from before a crash may still be there: a key is in the group once (RFC 9420 §7.3).
      this.#retries++
      this.#retryAt = now + RETRY_S
      this.#impatientAt = Infinity
      return void this.#events.push({ type: "waiting for", text: STILL_HERE })
    }
    this.#end(DISMISSED[message.reason])
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
    await this.#adopt(opened.group, undefined, false, now, true)
  }

  // --- the log ---------------------------------------------------------------------------------------------

  async #onEntry(message: Server<"entry">, now: number): Promise<void> {
    const group = this.group
    if (this.phase !== "member" || group === undefined || message.generation !== this.generation) return
    if (message.epoch < group.epoch) return // told again after a resume
    if (message.epoch > group.epoch) {
      return this.#lose(`The server left out the commit that ends epoch ${group.epoch}.`, now)
    }
    const own = this.#leader.takeCommit(message.commit)
    if (own !== undefined) {
      await this.policies.enforce(own.policy)
      for (const each of own.keyPackages) this.#usedKeyPackages.add(each)
      if (own.renews) this.#refreshed()
      return this.#adopt(own.group, this.personAt(group.epoch, group.ownLeaf), own.removes, now)
    }
    try {
      await this.#process(group, message.commit, now)
    } catch (error) {
      await this.#lose(`The commit that ends epoch ${group.epoch} was refused: ${told(error)}`, now)
    }
  }

  /** Adopt the epoch that another member's commit leads to, or throw and change nothing. */
  async #process(group: Group, commit: Octets, now: number): Promise<void> {
    const lawful = this.policies.lawful()
    const psks = lawful.map((policy) => ({ id: policy.pskId, secret: this.policies.keysOf(policy).linkPsk }))
    const received = await group.process(commit, psks, this.#wall(now))
    const rules = { policies: lawful, usedKeyPackages: this.#usedKeyPackages, linkHost: this.link.host }
    const policy = await checkCommit(rules, group, received)
    if (received.group === undefined) {
      const isHostsWish = policy.excludes(this.ownKey)
      return this.#end(isHostsWish ? REMOVED : "The members removed this participant.")
    }
    for (const { reference } of received.adds) this.#usedKeyPackages.add(reference)
    await this.policies.enforce(policy)
    const committer = this.personAt(group.epoch, received.sender)
    await this.#adopt(received.group, committer, received.removes.length > 0, now)
  }

  /** We are out of the group's step: say so, and ask to be let in again (RFC 9420 §16.12). */
  async #lose(why: string, now: number): Promise<void> {
    this.#warn(why)
    if (this.group !== undefined) {
      this.#send({ type: "lost", generation: this.generation, epoch: this.group.epoch })
    }
    this.#dropGroup()
    await this.#knockAgain(now)
  }

  #dropGroup(): void {
    this.group = undefined
    this.phase = "entering"
    this.#leader.dropGroup()
    this.#refreshed()
    this.#heartbeats = new Heartbeats()
  }

  /** Make `group` the current one: receive keys first, then everything that shows it. */
  async #adopt(
    group: Group,
    committer: Person | undefined,
    removes: boolean,
    now: number,
    isWelcome = false,
  ): Promise<void> {
    const people = peopleOf(group)
    const secret = await this.#epochSecret(group)
    const epochs = this.#epochsOf(group.groupId)
    const before = this.group === undefined ? [] : epochs.current
    epochs.adopt(group.epoch, people)
    this.#keyOrders.push({
      type: "adopt",
      groupId: group.groupId,
      suite: SFRAME[this.link.suite]!.suite,
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
    this.#heartbeats.setGroup(group.epoch, others.map(({ leaf }) => leaf), now)
    this.#checkIsolation(now)
    if (this.#refreshAt === Infinity) this.#scheduleRefresh(people.length, now)
    const changes = changesOf(before, people)
    this.#events.push({ type: "epoch changed", epoch: group.epoch, members: people, ...changes, committer })
    this.#send({ type: "ack", generation: this.generation, epoch: group.epoch })
    // Before anything is said: only who has said this is a member to the server.
    if (isWelcome) this.#send({ type: "welcomed", generation: this.generation, epoch: group.epoch })
    this.#entrance.entered(group.groupId)
    if (this.#hasHandUp && (changes.joined.length || changes.returned.length)) {
      await this.#tell({ type: "hand", raised: true })
    }
    const hasNewcomers = committer === undefined || changes.joined.length + changes.returned.length > 0
    this.#sendingNews.setGroup(people.length, hasNewcomers, now)
    await this.moderation.setGroup(group, people, this.#entrance.leafKey, now)
  }

  /** A group that was begun afresh shares nothing with the one before. */
  #epochsOf(groupId: Octets): Epochs {
    if (this.#epochs === undefined || !equal(this.#epochs.groupId, groupId)) this.#epochs = new Epochs(groupId)
    return this.#epochs
  }

  /** What SFrame takes from an epoch of the group (RFC 9605 §5.2). */
  async #epochSecret(group: Group): Promise<EpochSecret> {
    const taken = new Set(group.members.map(({ leafIndex }) => leafIndex))
    const leaves = Array.from({ length: group.leafCount }, (_, leaf) => leaf)
    return {
      epoch: group.epoch,
      baseKey: await group.export("SFrame 1.0 Base Key", new Uint8Array(), SFRAME[this.link.suite]!.keySize),
      leafCount: group.leafCount,
      ownLeaf: group.ownLeaf,
      blankLeaves: new Set(leaves.filter((leaf) => !taken.has(leaf))),
    }
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
  async #lead(now: number): Promise<void> {
    if (this.phase !== "member" || this.#leader.leader !== this.participantId) return
    const { policy, signed } = this.policies.newest
    const on: Situation = {
      group: this.#memberGroup,
      generation: this.generation,
      policy,
      signedPolicy: signed,
      isNewPolicy: !policy.equals(this.policies.inForce),
      usedKeyPackages: this.#usedKeyPackages,
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
      if (!(error instanceof MLSError)) throw error
      return this.#warn(`This participant leads, but cannot commit: ${error.message}`)
    }
    // Who was added since it was announced has not heard of it, and would refuse the commit.
    if (on.isNewPolicy && built.some(({ type }) => type === "commit")) {
      await this.#tell({ type: "policy_notice", signed })
    }
    for (const each of built) {
      if (each.type !== "lobby_request") this.#send(each)
      else {
        await this.#tell(each)
        await this.moderation.hearRequest(each, now, this.#wall(now))
      }
    }
  }

  async #refresh(now: number): Promise<void> {
    this.#refreshAt = now + ASK_AGAIN_S
    this.#refreshDue ??= now
    if (!this.isCodeStale && now - this.#refreshDue >= STALE_S) {
      this.isCodeStale = true
      this.#events.push({ type: "code stale", on: true })
    }
    this.#leader.wantsRefresh = true
    await this.#askToLead(now)
  }

  /** There is something to commit, whoever leads now. */
  async #askToLead(now: number): Promise<void> {
    if (this.#leader.leader === this.participantId) await this.#lead(now)
    else this.#send({ type: "lead", term: this.#leader.term })
  }

  #scheduleRefresh(members: number, now: number): void {
    this.#refreshed()
    const period = Math.max(REFRESH_S, REFRESH_PER_MEMBER_S * members)
    this.#refreshAt = now + period * (0.8 + 0.4 * this.#chance())
  }

  /** Our leaf's keys are new. */
  #refreshed(): void {
    this.#refreshAt = Infinity
    this.#refreshDue = undefined
    if (!this.isCodeStale) return
    this.isCodeStale = false
    this.#events.push({ type: "code stale", on: false })
  }

  // --- what members say ------------------------------------------------------------------------------------

  async #tell(message: messages.Message): Promise<void> {
    const group = this.#memberGroup
    const sealed = await group.encrypt(messages.encode(message))
    this.#send({ type: "application", generation: this.generation, epoch: group.epoch, message: sealed })
  }

  async #onApplicationFrom(message: Server<"application_from">, now: number): Promise<void> {
    const group = this.group
    if (this.phase !== "member" || group === undefined || message.generation !== this.generation) return
    let received: ApplicationMessage
    let said: messages.Message | undefined
    try {
      received = await group.decrypt(message.message)
      said = messages.decode(received.data)
    } catch (error) {
      return this.#warn(`A message was refused: ${told(error)}`)
    }
    if (said?.type === "heartbeat" && said.epoch !== received.epoch) {
      return this.#warn("A heartbeat was refused: it speaks of another epoch than it was sent in.")
    }
    const sender = this.personAt(received.epoch, received.sender)
    if (said !== undefined && sender !== undefined) await this.#hear(sender, said, now)
  }

  async #hear(sender: Person, said: messages.Message, now: number): Promise<void> {
    switch (said.type) {
      case "chat":
        this.#events.push({ type: "chat received", sender, text: said.text })
        return
      case "heartbeat":
        if (isSamePerson(this.personAt(this.#memberGroup.epoch, sender.leaf), sender)) {
          this.#heartbeats.confirm(sender.leaf, said.epoch, now, said.sent_ms / 1000)
        }
        this.#events.push({ type: "trouble reported", sender, troubles: said.troubles })
        return this.#checkIsolation(now)
      case "recording":
        this.#events.push({ type: "recording changed", sender, on: said.on })
        return
      case "reaction":
        this.#events.push({ type: "reacted", sender, emoji: said.emoji })
        return
      case "hand":
        this.#events.push({ type: "hand changed", sender, raised: said.raised })
        return
      case "sending": {
        const { microphone, camera, screen } = said
        this.#events.push({ type: "sending changed", sender, sending: { microphone, camera, screen } })
        return
      }
      case "policy_notice":
        return this.moderation.hearPolicy(sender, said, now)
      case "mute_request":
        return this.moderation.hearMuteRequest(sender, said)
      case "lobby_request":
        return this.moderation.hearRequest(said, now, this.#wall(now))
      case "decision":
        return this.moderation.hearDecision(sender, said, now)
    }
  }

  // --- the server's list, and the end ----------------------------------------------------------------------

  #onPresence(message: Server<"presence">, now: number): void {
    this.roster.setPresence(message.participant_id, message.state === "left" ? undefined : message.state, now)
    if (message.state === "left") this.moderation.gone(message.participant_id)
    this.#events.push({ type: "room changed" })
  }

  #onError(message: Server<"error">): void {
    if (message.code === "cannot_resume" && this.#entrance.takeAnswer()) return this.#comeAsSomebodyNew()
    if (FATAL.includes(message.code)) return this.#end(`The server ended the connection: ${message.message}`)
    if (OF_COMMITS.includes(message.code) && this.group !== undefined) this.#leader.refuseCommit(this.group.epoch)
    if (!RACES.includes(message.code)) this.#warn(`The server refused a message: ${message.message}`)
  }

  #comeAsSomebodyNew(): void {
    if (this.phase === "member") {
      this.#warn(
        "The server has given up our place, as it does when somebody is away for long. This participant comes in anew.",
      )
    }
    this.#dropGroup()
    this.#enter()
  }

  #checkIsolation(now: number): void {
    const isIsolated = this.#heartbeats.isIsolated(now)
    if (isIsolated === this.isIsolated) return
    this.isIsolated = isIsolated
    this.#events.push({ type: "sending paused", on: isIsolated })
  }

  #end(reason: string): void {
    if (this.phase !== "offline") this.#send({ type: "leave" }) // or our place would be kept for a while
    this.phase = "left"
    this.group = undefined
    this.#leader.dropGroup()
    this.#entrance.forgetKnock()
    this.#keyOrders.push({ type: "erase" })
    this.#events.push({ type: "ended", reason })
  }

  // --- small things ----------------------------------------------------------------------------------------

  get #memberGroup(): Group {
    if (this.phase !== "member" || this.group === undefined) {
      throw new MisuseError("This needs to be in the meeting; this session is not.")
    }
    return this.group
  }

  #wall(now: number): number {
    return now - this.#start.now + this.#start.wallTimeS
  }

  #send(message: ClientMessage): void {
    this.#outbox.push(message)
  }

  #warn(text: string): void {
    this.#events.push({ type: "warned", text })
  }
}

/** The sentence of an error that a peer can cause; what else is thrown is a bug of ours and goes on. */
function told(error: unknown): string {
  if (error instanceof MLSError || error instanceof MemberError) return error.message
  throw error
}

/** Who came and went; who changed its leaf is the same person by its signature key. */
function changesOf(before: readonly Person[], after: readonly Person[]) {
  const came = after.filter((person) => !before.some((each) => isSamePerson(each, person)))
  const gone = before.filter((person) => !after.some((each) => isSamePerson(each, person)))
  const isBack = (person: Person) => gone.some((was) => isReturned(person, was))
  return {
    joined: came.filter((person) => !isBack(person)),
    left: gone.filter((was) => !came.some((person) => isReturned(person, was))),
    returned: came.filter(isBack),
  }
}

const DISMISSED: Readonly<Record<DismissReason, string>> = {
  unreadable:
    "The members cannot open the request to join: the link or the passphrase is another one, or the host has changed the link since.",
  locked: "The meeting is locked: nobody is let in.",
  refused: "The host did not let you in.",
  policy:
    "The members did not let this participant in: by the host's policy, because its clock differs from theirs, or because its identity takes part already, on another device or screen.",
  unneeded: "The members have nothing to let this participant in to.",
}

function withoutTimes(troubles: readonly messages.Trouble[]): string {
  return JSON.stringify(troubles.map(({ since_s: _, ...each }) => each))
}

const FATAL: readonly ErrorCode[] = ["unsupported_protocol", "room_full", "replaced"]
// What else than `refused` may answer a commit.
const OF_COMMITS: readonly ErrorCode[] = ["unknown_participant", "contradiction"]
// Two of us spoke at once, or what we said crossed what the server said; what we are told next mends it.
const RACES: readonly ErrorCode[] = [
  "out_of_state",
  "wrong_generation",
  "wrong_epoch",
  "wrong_term",
  "not_leader",
  "unknown_participant",
]
