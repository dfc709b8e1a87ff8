/**
 * A meeting as the page holds it: two workers, two connections, and what is to be shown. It has no keys and decides
 * nothing; `view` is how things stand, and `onChange` says that it is another one.
 */

import type { Sending } from "./claim_news.ts"
import type { Failing } from "./decrypt_health.ts"
import type { Event } from "./events.ts"
import { AUDIO, CAMERA } from "./frames.ts"
import { usableOf } from "./ice_servers.ts"
import { Publishing } from "./publishing.ts"
import { Subscribing } from "./subscribing.ts"
import { type Tile, Tiles } from "./tiles.ts"
import type {
  CodeShown,
  FromMedia,
  FromParticipant,
  HostAction,
  MediaAnswer,
  MediaCounts,
  MediaNews,
  ParticipantView,
} from "./worker_messages.ts"
import type { Workers } from "./workers.ts"

const QUIET_AFTER_MS = 1500
const COUNTS_EVERY_MS = 1000 // so old they may be

export interface MeetingOptions {
  readonly link: string
  readonly passphrase: string | null
  readonly name: string
  /** Come with this browser's identity. */
  readonly isLasting: boolean
  readonly microphone: MediaStreamTrack | null
  readonly camera: MediaStreamTrack | null
  /** The link's: the server is told how loud our microphone is. */
  readonly hasAudioLevels: boolean
  /** Of this meeting alone; it ends them. */
  readonly workers: Workers
}

export interface MeetingView extends ParticipantView {
  readonly tiles: readonly Tile[]
  readonly counts: MediaCounts | undefined
  /** Whom we cannot decrypt. */
  readonly troubles: readonly Failing[]
  /** Why the meeting is over for us. */
  readonly ended: string | undefined
}

const NOTHING: ParticipantView = {
  phase: "offline",
  isConnected: false,
  participantId: undefined,
  ownLeaf: undefined,
  epoch: undefined,
  generation: 0,
  leader: null,
  rows: [],
  isIsolated: false,
  isCodeStale: false,
  hasLastingKey: false,
  ownKey: undefined,
  policyVersion: 0,
  isLocked: false,
  hasLobby: false,
  isHost: false,
  isLinksHost: false,
  hosts: [],
  waiting: [],
}

export class Meeting {
  view: MeetingView = { ...NOTHING, tiles: [], counts: undefined, troubles: [], ended: undefined }
  onChange: (view: MeetingView) => void = () => undefined
  onEvent: (event: Event) => void = () => undefined
  /** A command could not be carried out: a sentence for the user. */
  onRefused: (why: string) => void = () => undefined
  /** The connection to the server went, or came back. */
  onConnection: (isConnected: boolean, why: string) => void = () => undefined
  /** What we send is sealed with the keys of this epoch from now on. */
  onSwitched: (epoch: number) => void = () => undefined
  readonly #workers: Workers
  readonly #publishing: Publishing
  readonly #subscribing: Subscribing
  readonly #tiles = new Tiles(() => this.#change({}))
  readonly #codes = new Map<number, (shown: CodeShown | undefined) => void>()
  #codeRequests = 0
  #iceServers: RTCIceServer[] = []
  #wasConnected = false

  constructor(options: MeetingOptions) {
    const { link, passphrase, name, isLasting, microphone, camera, workers } = options
    this.#workers = workers
    const channel = new MessageChannel()
    workers.listen(
      (message) => this.#onParticipant(message),
      (message) => this.#onMedia(message),
      () => this.#end(BROKEN),
    )
    workers.tellMedia({ type: "keys", port: channel.port2 }, [channel.port2])
    workers.tell({ type: "start", link, passphrase, name, isLasting, port: channel.port1 }, [channel.port1])
    const iceServers = () => this.#iceServers
    const send = (message: MediaAnswer) => workers.tell({ type: "media", message })
    this.#publishing = new Publishing(workers.media, send, iceServers, options.hasAudioLevels)
    this.#subscribing = new Subscribing(
      workers.media,
      send,
      {
        replaced: (connection) => this.#onReplaced(connection),
        opened: (mid, _kind, track) => this.#tiles.opened(mid, track),
        forgotten: () => this.#publishing.begin(),
      },
      iceServers,
    )
    this.setTrack(AUDIO, microphone)
    this.setTrack(CAMERA, camera)
    this.#publishing.prepare()
  }

  // --- what the user does ---

  /** Send this track under this context (`frames`); null sends nothing. */
  setTrack(kidContext: number, track: MediaStreamTrack | null): void {
    this.#publishing.setTrack(kidContext, track)
  }

  /** Have sound come out of this device; "" is the browser's choice. */
  setSpeaker(deviceId: string): void {
    this.#tiles.setSpeaker(deviceId)
  }

  chat(text: string): void {
    this.#workers.tell({ type: "chat", text })
  }

  /** Replace our leaf's keys now. */
  rotate(): void {
    this.#workers.tell({ type: "rotate" })
  }

  /** Show all members a sign for a moment. */
  react(emoji: string): void {
    this.#workers.tell({ type: "react", emoji })
  }

  raiseHand(raised: boolean): void {
    this.#workers.tell({ type: "hand", raised })
  }

  /** What we send, for the others to know; who comes later is told too. */
  setSending(sending: Sending): void {
    this.#workers.tell({ type: "sending", sending })
  }

  /** As a host; what cannot be done is told by `onRefused`. */
  moderate(action: HostAction): void {
    this.#workers.tell({ type: "moderate", action })
  }

  /** The security code of the present epoch; undefined outside of the meeting. */
  code(): Promise<CodeShown | undefined> {
    const request = this.#codeRequests++
    return new Promise((resolve) => {
      this.#codes.set(request, resolve)
      this.#workers.tell({ type: "code", request })
    })
  }

  leave(): void {
    this.#workers.tell({ type: "leave" })
  }

  /** For statistics. */
  get connections(): { readonly sending: RTCPeerConnection | undefined; readonly receiving: RTCPeerConnection | undefined } {
    return { sending: this.#publishing.connection, receiving: this.#subscribing.connection }
  }

  // --- the participant's worker ---

  #onParticipant(message: FromParticipant): void {
    switch (message.type) {
      case "view":
        this.#workers.tell({ type: "shown" })
        return this.#change(message.view)
      case "event":
        return this.#onEvent(message.event)
      case "media":
        return this.#onMediaNews(message.message)
      case "code":
        this.#codes.get(message.request)?.(message.shown)
        this.#codes.delete(message.request)
        return
      case "connected":
        this.#publishing.reconnected()
        if (this.#wasConnected) this.onConnection(true, "The connection to the server is back.")
        this.#wasConnected = true
        return
      case "resumed":
        return this.#checkQuiet()
      case "disconnected":
        return this.onConnection(false, message.why)
      case "refused":
        return this.onRefused(message.why)
    }
  }

  /** Signaling came back. If no media comes then, as after a change of our address, have another connection. */
  #checkQuiet(): void {
    setTimeout(() => {
      const slots = this.view.counts?.slots ?? []
      const isQuiet = slots.length > 0 && slots.every(({ quietMs }) => quietMs >= QUIET_AFTER_MS)
      if (this.view.phase === "member" && isQuiet) this.#subscribing.renew()
    }, QUIET_AFTER_MS + COUNTS_EVERY_MS)
  }

  #onEvent(event: Event): void {
    if (event.type === "epoch changed") {
      this.#tiles.keepOnly(new Set(event.members.map(({ participantId }) => participantId)))
      if (event.committer === undefined) {
        this.#subscribing.expectAnother()
        this.#publishing.begin()
      }
    }
    this.onEvent(event)
    if (event.type === "ended") this.#end(event.reason)
  }

  #onMediaNews(message: MediaNews): void {
    if (message.type === "published") this.#publishing.takeAnswer(message.sdp)
    else if (message.type === "subscribe") this.#subscribing.takeOffer(message)
    else if (message.type === "ice_servers") {
      this.#iceServers = usableOf(message)
    }
  }

  // --- the media worker ---

  #onMedia(message: FromMedia): void {
    switch (message.type) {
      case "bind":
        return this.#tiles.bind(message.mid, message.tile, message.rtpTimestamp, () =>
          this.#workers.tellMedia({ type: "bound", request: message.request }),
        )
      case "key frame":
        return this.#publishing.forceKeyFrame(message.kidContext)
      case "switched":
        return this.onSwitched(message.epoch)
      case "counts":
        return this.#onCounts(message.counts, message.troubles)
    }
  }

  #onCounts(counts: MediaCounts, troubles: readonly Failing[]): void {
    this.#tiles.setQuiet(counts.slots)
    this.#change({ counts, troubles })
  }

  #onReplaced(connection: number): void {
    this.#tiles.clear()
    this.#workers.tellMedia({ type: "connection", connection })
  }

  // --- what is shown ---

  #change(part: Partial<MeetingView>): void {
    this.view = { ...this.view, ...part, tiles: this.#tiles.all }
    this.onChange(this.view)
  }

  #end(reason: string): void {
    if (this.view.ended !== undefined) return
    this.#publishing.close()
    this.#subscribing.close()
    this.#tiles.clear()
    this.#change({ ended: reason, phase: "left" })
    // Said goodbye by now; with the worker goes every key.
    setTimeout(() => this.#workers.terminate(), 1000)
  }
}

const BROKEN = "Something went wrong in this page. Reload it to come back."
