/**
 * The worker in which a participant takes part: the link, the MLS group and the WebSocket live here. Everything that
 * decides is in `session`; here are the clock, and what is told to whom (`connection`, `worker_messages`).
 */

import { equal } from "../bytes.ts"
import { warmUp } from "../mls/warm_up.ts"
import type { Server, ServerMessage } from "../signaling/messages.ts"
import { Connection, type Speaker } from "./connection.ts"
import type { Failing } from "./decrypt_health.ts"
import type { Former } from "./entrance.ts"
import { ConferenceError, StorageError } from "./errors.ts"
import { findHostKey } from "./host_key.ts"
import { MeetingLink } from "./link.ts"
import { type Borrowed, borrowIdentity } from "./own_identity.ts"
import type { Misnamed } from "./receive_path.ts"
import { Session } from "./session.ts"
import { hostKeyOf } from "./signing.ts"
import { LOOK_EVERY_S, SleepWatch } from "./sleep_watch.ts"
import { securityCode } from "./verification.ts"
import type { FromKeys, FromParticipant, HostAction, Prepare, Start, ToKeys, ToParticipant } from "./worker_messages.ts"

const MOST_UNHEARD = 4096 // messages: more than a meeting says while commits are looked at
const NO_MESSAGE =
  "What the server sent is no message, so the connection was begun anew. If that goes on, reload this page: the server may have another version of it."
const MAX_PAUSE_S = 60 // a machine that slept looks around when it wakes

/** What is asked of somebody who takes part. */
type Wish = Exclude<ToParticipant, Prepare | Start>

const now = () => performance.now() / 1000
const wallTimeS = () => Date.now() / 1000

function tell(message: FromParticipant): void {
  postMessage(message)
}

class Participant implements Speaker {
  readonly #session: Session
  readonly #keys: MessagePort
  readonly #connection: Connection
  readonly #sleepWatch = new SleepWatch(wallTimeS())
  /** The identity with which we come, if it is one that lasts. */
  readonly #identity: Borrowed | undefined
  #leaf: Former | undefined
  /** All that touches the session, one after the other. */
  #queue: Promise<void> = Promise.resolve()
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #orders = new Map<number, () => void>()
  #orderNumber = 0
  /** Messages whose turn has not come. */
  #unheard = 0
  /** Whether the page has not taken up the last view yet; whether there is another since. */
  #isShowing = false
  #isNews = false
  #maySend = false

  constructor(session: Session, keys: MessagePort, identity: Borrowed | undefined) {
    this.#session = session
    this.#identity = identity
    this.#keys = keys
    const { server, meetingId } = session.link
    this.#connection = new Connection(server, meetingId, this)
    keys.onmessage = ({ data }: MessageEvent<FromKeys>) => this.#onKeysMessage(data)
  }

  static async create({ link: text, passphrase, name, port, isLasting }: Start): Promise<Participant> {
    const link = MeetingLink.parse(text)
    const start = { now: now(), wallTimeS: wallTimeS() }
    const pair = await orNothing(findHostKey(link.meetingId))
    const hostKey = pair && (await hostKeyOf(pair))
    const identity = isLasting ? await borrowOrTell(link.meetingId) : undefined
    const { key: lastingKey, former, certificates = [], name: certified } = identity ?? {}
    const ownKeys = { hostKey, lastingKey, former, certificates }
    const session = await Session.create(link, link.keys(passphrase), certified ?? name, start, ownKeys)
    return new Participant(session, port, identity)
  }

  take(message: Wish): void {
    if (message.type === "media") this.#connection.send(message.message)
    else if (message.type === "shown") this.#shown()
    else this.inTurn(() => this.#obey(message))
  }

  async #obey(message: Exclude<Wish, { type: "media" | "shown" }>): Promise<void> {
    const session = this.#session
    switch (message.type) {
      case "chat":
        return session.conversation.chat(message.text)
      case "rotate":
        return session.rotate(now())
      case "react":
        return session.conversation.react(message.emoji)
      case "hand":
        return session.conversation.raiseHand(message.raised)
      case "sending":
        return session.conversation.setClaim({ ...message.sending, lasting_key: session.hasLastingKey }, now())
      case "moderate":
        return this.#moderate(message.action)
      case "leave":
        return session.leave()
      case "code":
        return this.#showCode(message.request)
    }
  }

  #moderate(action: HostAction): Promise<void> {
    const { moderation } = this.#session
    switch (action.type) {
      case "decide":
        return moderation.decide(action.participantId, action.admitted, now())
      case "lobby":
      case "locked":
        return moderation.setFlag(action.type, action.on, now())
      case "remove":
        return moderation.remove(action.participantId, now())
      case "bar":
        return moderation.bar(action.participantId, now())
      case "change link":
        return moderation.changeLink(now())
      case "name host":
        return moderation.nameHost(action.participantId, now())
      case "strike host":
        return moderation.strikeHost(action.participantId, now())
      case "mute":
        return moderation.requestMute(action.participantId, now())
      case "end":
        return moderation.endForAll(now())
    }
  }

  /** Computed beside the queue: commits need not wait for it. */
  #showCode(request: number): void {
    const input = this.#session.phase === "member" ? this.#session.codeInput() : undefined
    if (input === undefined) return tell({ type: "code", request, shown: undefined })
    void securityCode(input).then((code) => tell({ type: "code", request, shown: { ...code, epoch: input.epoch } }))
  }

  // --- the queue ---

  /** Whatever touches the session does so when all that came before is done. */
  inTurn(task: () => Promise<void> | void): void {
    this.#queue = this.#queue.then(async () => {
      try {
        await task()
      } catch (error) {
        if (error instanceof ConferenceError) tell({ type: "refused", why: error.message })
        else this.#fail(error)
      }
      await this.#flush()
    })
  }

  /** A bug of ours. What stands in the error may be private, so only its kind is told. */
  #fail(error: unknown): void {
    console.error("the participant failed", traceOf(error))
    tell({ type: "event", event: { type: "ended", reason: "Something went wrong in this page. Reload it to come back." } })
    this.#connection.close()
  }

  /** Keys first, then what is told, then what is shown: who acknowledges an epoch can decrypt it. */
  async #flush(): Promise<void> {
    const { messages, events, keyOrders } = this.#session.take()
    for (const order of keyOrders) await this.#order({ type: "order", order, number: this.#orderNumber++ })
    if (this.#maySend !== this.#session.maySendMedia) {
      this.#maySend = this.#session.maySendMedia
      this.#keys.postMessage({ type: "may send", on: this.#maySend } satisfies ToKeys)
    }
    for (const message of messages) this.#connection.send(message)
    for (const event of events) tell({ type: "event", event })
    this.#show()
    this.#keepLeaf()
    if (this.hasLeft) {
      this.#connection.close(1000)
      this.#identity?.release()
    }
    this.#setTimer()
  }

  /** An identity that comes back after a crash claims the leaf that it has now. */
  #keepLeaf(): void {
    const { leaf } = this.#session
    if (leaf === undefined || isSameLeaf(leaf, this.#leaf)) return
    this.#leaf = leaf
    this.#identity?.entered(leaf)
  }

  #order(message: Extract<ToKeys, { type: "order" }>): Promise<void> {
    return new Promise((resolve) => {
      this.#orders.set(message.number, resolve)
      this.#keys.postMessage(message)
    })
  }

  /** The page is told how things stand when it has taken up what it was told before: a flood does not drown it. */
  #show(): void {
    this.#isNews = true
    if (this.#isShowing) return
    this.#isNews = false
    this.#isShowing = true
    const session = this.#session
    const { inForce } = session.policies
    const rows = session.roster.rows(now())
    tell({
      type: "view",
      view: {
        phase: session.phase,
        isConnected: this.#connection.isOpen,
        participantId: session.participantId,
        ownLeaf: session.group?.ownLeaf,
        epoch: session.group?.epoch,
        generation: session.generation,
        leader: session.leader,
        rows,
        isIsolated: session.conversation.isIsolated,
        isCodeStale: session.isCodeStale,
        hasLastingKey: session.hasLastingKey,
        ownKey: session.ownKey,
        policyVersion: inForce.version,
        isLocked: inForce.isLocked,
        hasLobby: inForce.document.lobby,
        isHost: session.moderation.isHost,
        isLinksHost: session.moderation.isLinksHost,
        hosts: rows.flatMap(({ person }) =>
          person && session.moderation.isHosts(person) ? [person.participantId] : [],
        ),
        waiting: session.moderation.waiting,
      },
    })
  }

  #shown(): void {
    this.#isShowing = false
    if (this.#isNews) this.#show()
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    const due = Math.min(this.#session.nextTimer(), this.#session.roster.nextChange(now()))
    if (due === Infinity) return
    const pause = Math.max(0, Math.min(due - now(), MAX_PAUSE_S))
    this.#timer = setTimeout(() => this.inTurn(() => this.#session.handleTimer(now())), 1000 * pause + 1)
  }

  #onKeysMessage(message: FromKeys): void {
    if (message.type === "done") {
      this.#orders.get(message.number)?.()
      this.#orders.delete(message.number)
    } else if (message.type === "troubles") this.inTurn(() => this.#report(message.troubles))
    else for (const each of message.misnamed) tell({ type: "event", event: { type: "warned", text: this.#sentence(each) } })
  }

  #report(troubles: readonly Failing[]): void {
    const rows = this.#session.roster.rows(now())
    const leaves = new Map(rows.map(({ participantId, person }) => [participantId, person?.leaf]))
    const found = troubles.flatMap(({ owner, kidContext, reason, epoch, sinceS }) => {
      const leaf = leaves.get(owner)
      return leaf === undefined ? [] : [{ leaf, kid_context: kidContext, reason, epoch, since_s: sinceS }]
    })
    this.#session.conversation.reportTroubles(found, now())
  }

  #sentence({ announced, actual }: Misnamed): string {
    const rows = this.#session.roster.rows(now())
    const nameOf = (owner: string) =>
      rows.find(({ participantId }) => participantId === owner)?.person?.name ?? "somebody who is not in the group"
    const name = nameOf(actual.owner)
    const said = announced ? `as ${nameOf(announced.owner)}'s` : "as nobody's"
    return `The server announces a stream of ${name} ${said}. The keys say whose it is: ${name}'s.`
  }

  // --- the connection ---

  connect(): void {
    this.#connection.connect()
    addEventListener("online", () => this.#connection.renew())
    setInterval(() => this.#look(), 1000 * LOOK_EVERY_S)
  }

  /** After a sleep, and when nobody is heard any more, the connection may be dead. */
  #look(): void {
    this.#connection.look()
    const isQuiet = this.#connection.silentS > this.#session.conversation.silenceS
    if (this.#sleepWatch.hasSlept(wallTimeS()) || isQuiet) this.#connection.renew()
  }

  get hasLeft(): boolean {
    return this.#session.phase === "left"
  }

  opened(): void {
    this.#session.connected({ now: now(), wallTimeS: wallTimeS() })
    tell({ type: "connected" })
  }

  lost(why: string): void {
    tell({ type: "disconnected", why })
  }

  gaveUp(why: string): void {
    this.#session.leave()
    tell({ type: "event", event: { type: "ended", reason: why } })
  }

  heard(message: ServerMessage): void {
    if (message.type === "slots") this.#announce(message)
    else if (message.type === "published" || message.type === "subscribe" || message.type === "ice_servers") {
      tell({ type: "media", message })
    } else if (message.type === "going_down") tell({ type: "event", event: { type: "going down" } })
    else {
      if (++this.#unheard > MOST_UNHEARD) this.#connection.close()
      this.inTurn(() => {
        this.#unheard--
        return this.#session.receive(message, now())
      })
      if (message.type === "resumed") tell({ type: "resumed" })
    }
  }

  misheard(): void {
    tell({ type: "event", event: { type: "warned", text: NO_MESSAGE } })
  }

  #announce(message: Server<"slots">): void {
    this.#keys.postMessage({ type: "slots", slots: message.slots } satisfies ToKeys)
    tell({ type: "media", message })
  }
}

function isSameLeaf(one: Former, other: Former | undefined): boolean {
  return other !== undefined && one.participantId === other.participantId && equal(one.groupId, other.groupId)
}

/** A browser that keeps nothing has nothing of this either. */
async function orNothing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof StorageError) return undefined
    throw error
  }
}

async function borrowOrTell(meetingId: string): Promise<Borrowed | undefined> {
  try {
    return await borrowIdentity(meetingId)
  } catch (error) {
    if (!(error instanceof StorageError)) throw error
    const text = `${error.message} Here you come with a fresh key: nobody knows you again by it.`
    tell({ type: "event", event: { type: "warned", text } })
    return undefined
  }
}

/** Where an error was thrown: its message may hold what is private. */
function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return ""
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at |@.*:\d+$/.test(line))
  return [error.name, ...frames].join("\n")
}

let participant: Promise<Participant | undefined> | undefined

async function begin(start: Start): Promise<Participant | undefined> {
  try {
    const created = await Participant.create(start)
    created.connect()
    return created
  } catch (error) {
    const reason = error instanceof ConferenceError ? error.message : "This browser cannot take part."
    tell({ type: "event", event: { type: "ended", reason } })
    return undefined
  }
}

onmessage = ({ data }: MessageEvent<ToParticipant>) => {
  if (data.type === "prepare") {
    // What fails here fails again when it is needed, and is told then.
    void warmUp(data.suite, Date.now() / 1000, () => participant !== undefined).catch(() => undefined)
  } else if (data.type === "start") participant = begin(data)
  else void participant?.then((created) => created?.take(data))
}
