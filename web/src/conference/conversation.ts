/**
 * What the members say to each other, end to end (docs/protocol.md, "End-to-end messages"): each message is sealed by
 * the group and comes from one of its leaves. In heartbeats they confirm their epoch, and tell whom they cannot decrypt.
 */

import type { Group } from "../mls/group.ts"
import type { Client, Server } from "../signaling/messages.ts"
import { type Claim, ClaimNews } from "./claim_news.ts"
import { told } from "./errors.ts"
import { type Event, eventOf, isForPeople } from "./events.ts"
import { Heartbeats } from "./heartbeat.ts"
import * as messages from "./messages.ts"
import { isSamePerson, type Person } from "./roster.ts"

/** What the conversation needs of the session that it belongs to. */
export interface Seat {
  /** The group that we are in; MisuseError if we are in none. */
  readonly memberGroup: Group
  readonly generation: number
  /** Who held a leaf in an epoch that we were in. */
  personAt(epoch: number, leaf: number): Person | undefined
  send(message: Client<"application">): void
  /** Tell the driver. */
  happened(event: Event): void
}

/** What was said, and by whom. */
export interface Heard {
  readonly sender: Person
  readonly said: messages.Message
}

export class Conversation {
  /** Whether no majority of the members confirms our epoch. */
  isIsolated = false
  readonly #seat: Seat
  #startedAt: number
  #heartbeats = new Heartbeats()
  /** What we cannot decrypt; heartbeats carry it. */
  #troubles: readonly messages.Trouble[] = []
  #hasHandUp = false
  readonly #claimNews: ClaimNews

  /** `chance` gives numbers from 0 to 1. */
  constructor(seat: Seat, now: number, chance: () => number) {
    this.#seat = seat
    this.#startedAt = now
    this.#claimNews = new ClaimNews(chance)
  }

  // --- what we say ---

  /** Say this to all members. */
  async tell(message: messages.Message): Promise<void> {
    const { memberGroup: group, generation } = this.#seat
    const sealed = await group.encrypt(messages.encode(message))
    this.#seat.send({ type: "application", generation, epoch: group.epoch, message: sealed })
  }

  async chat(text: string): Promise<void> {
    await this.tell({ type: "chat", text })
  }

  /** Show all members a sign for a moment. */
  async react(emoji: string): Promise<void> {
    await this.tell({ type: "reaction", emoji })
  }

  /** Show all members, and who comes later, that we would like to speak. */
  async raiseHand(raised: boolean): Promise<void> {
    await this.tell({ type: "hand", raised })
    this.#hasHandUp = raised
  }

  /** What we say of ourselves: told to all when it changes, and to who comes later. Any time. */
  setClaim(claim: Claim, now: number): void {
    this.#claimNews.set(claim, now)
  }

  /** Somebody has come, who heard nothing of what we said before. */
  async repeat(now: number): Promise<void> {
    if (this.#hasHandUp) await this.tell({ type: "hand", raised: true })
    this.#claimNews.tellAgain(now)
  }

  /** What we said of late may have been lost. */
  tellAgain(now: number): void {
    this.#claimNews.tellAgain(now)
  }

  /** What we cannot decrypt: told to all in each heartbeat, and at once when it is other than before. */
  reportTroubles(troubles: readonly messages.Trouble[], now: number): void {
    const isNews = withoutTimes(troubles) !== withoutTimes(this.#troubles)
    this.#troubles = troubles
    if (isNews) this.#heartbeats.hasten(now)
  }

  // --- the group and the clock ---

  /** When `handleTimer` is due next; infinite if never. */
  nextTimer(): number {
    return Math.min(this.#heartbeats.nextAt, this.#claimNews.nextAt)
  }

  /** Say what is due, being in a group; whether it was time for a heartbeat. */
  async handleTimer(now: number): Promise<boolean> {
    const claim = this.#claimNews.take(now)
    if (claim !== undefined) await this.tell({ type: "claim", ...claim })
    if (!this.#heartbeats.isDue(now)) return false
    const troubles = this.#troubles.slice(0, messages.MAX_TROUBLES)
    const sent_ms = Math.round((now - this.#startedAt) * 1000)
    await this.tell({ type: "heartbeat", epoch: this.#seat.memberGroup.epoch, troubles, sent_ms })
    this.#checkIsolation(now)
    return true
  }

  /** For so long our clock stood still; that of heartbeats goes on, or they would seem to be kept back. */
  hasSlept(sleptS: number): void {
    this.#startedAt -= sleptS
  }

  /** How long nobody can be silent who hears us, nor the server; infinite when alone. */
  get silenceS(): number {
    return this.#heartbeats.silenceS
  }

  /** The group is at a new epoch; `others` are the leaves beside our own. */
  setGroup(epoch: number, others: readonly number[], now: number): void {
    this.#heartbeats.setGroup(epoch, others, now)
    this.#claimNews.setMembers(1 + others.length)
    this.#checkIsolation(now)
  }

  /** We are in no group. */
  dropGroup(): void {
    this.#heartbeats = new Heartbeats()
  }

  #checkIsolation(now: number): void {
    const isIsolated = this.#heartbeats.isIsolated(now)
    if (isIsolated === this.isIsolated) return
    this.isIsolated = isIsolated
    this.#seat.happened({ type: "sending paused", on: isIsolated })
  }

  // --- what others say ---

  /** What somebody said; undefined if it is no message, or none that is known here. */
  async receive(message: Server<"application_from">, now: number): Promise<Heard | undefined> {
    let received
    let said
    try {
      received = await this.#seat.memberGroup.decrypt(message.message)
      said = messages.decode(received.data)
    } catch (error) {
      return this.#warn(`A message was refused: ${told(error)}`)
    }
    if (said?.type === "heartbeat" && said.epoch !== received.epoch) {
      return this.#warn("A heartbeat was refused: it speaks of another epoch than it was sent in.")
    }
    const sender = this.#seat.personAt(received.epoch, received.sender)
    if (said === undefined || sender === undefined) return undefined
    if (said.type === "heartbeat") this.#onHeartbeat(sender, said, now)
    else if (isForPeople(said)) this.#seat.happened(eventOf(sender, said))
    return { sender, said }
  }

  #onHeartbeat(sender: Person, said: messages.Told<"heartbeat">, now: number): void {
    if (isSamePerson(this.#seat.personAt(this.#seat.memberGroup.epoch, sender.leaf), sender)) {
      this.#heartbeats.confirm(sender.leaf, said.epoch, now, said.sent_ms / 1000)
    }
    this.#seat.happened({ type: "trouble reported", sender, troubles: said.troubles })
    this.#checkIsolation(now)
  }

  #warn(text: string): undefined {
    this.#seat.happened({ type: "warned", text })
  }
}

function withoutTimes(troubles: readonly messages.Trouble[]): string {
  return JSON.stringify(troubles.map(({ since_s: _, ...each }) => each))
}
