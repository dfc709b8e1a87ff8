/**
 * The connection on which a participant receives: the server offers slots, we answer.
 *
 * Every receiver has its transform before the answer that lets media come, and a track without one is never handed
 * on: what is not opened by our keys is neither decoded nor shown.
 */

import type { Client, Server } from "../signaling/messages.ts"
import type { MediaKind } from "./frames.ts"
import type { TransformOptions } from "./worker_messages.ts"

/** What is told of the connection. */
export interface Slots {
  /** A connection takes the place of the one before: its slots are gone. */
  replaced(connection: number): void
  /** The slot `mid` delivers to this track. */
  opened(mid: string, kind: MediaKind, track: MediaStreamTrack): void
  /** The server offers another connection for the one there is: it has forgotten us. */
  forgotten(): void
}

export class Subscribing {
  connection: RTCPeerConnection | undefined
  readonly #mediaWorker: Worker
  readonly #send: (message: Client<"subscribed"> | Client<"resubscribe">) => void
  readonly #slots: Slots
  readonly #iceServers: () => readonly RTCIceServer[]
  #number = 0
  #origin = ""
  #isOver = false
  #queue: Promise<void> = Promise.resolve()

  constructor(
    mediaWorker: Worker,
    send: (message: Client<"subscribed"> | Client<"resubscribe">) => void,
    slots: Slots,
    iceServers: () => readonly RTCIceServer[],
  ) {
    this.#mediaWorker = mediaWorker
    this.#send = send
    this.#slots = slots
    this.#iceServers = iceServers
  }

  /** We came anew: the next offer will be for another connection. */
  expectAnother(): void {
    this.#origin = ""
  }

  /** The server offers slots. Answered beside all else, for commits must not wait for it. */
  takeOffer(offer: Server<"subscribe">): void {
    this.#queue = this.#queue.then(() => this.#take(offer)).catch(() => this.#drop())
  }

  /** The connection is of no use any more: have the server offer another. */
  renew(): void {
    if (this.connection !== undefined) this.#send({ type: "resubscribe" })
  }

  /** Stop receiving, for good. */
  close(): void {
    this.#isOver = true
    this.#drop()
  }

  /** The server sees that it is gone, and offers another. */
  #drop(): void {
    this.connection?.close()
    this.connection = undefined
  }

  async #take(offer: Server<"subscribe">): Promise<void> {
    if (this.#isOver) return
    // The same origin adds slots to the connection that there is; another one replaces it.
    const origin = /^o=\S+ (\S+)/m.exec(offer.sdp)?.[1] ?? ""
    if (this.connection === undefined || origin !== this.#origin) {
      const before = this.#origin
      this.#origin = origin
      this.#drop()
      this.connection = this.#connect()
      if (before) this.#slots.forgotten()
    }
    const { connection } = this
    await connection.setRemoteDescription({ type: "offer", sdp: offer.sdp })
    await connection.setLocalDescription(await connection.createAnswer())
    if (this.connection !== connection) return // the meeting ended meanwhile
    this.#send({ type: "subscribed", sequence: offer.sequence, sdp: connection.localDescription!.sdp })
  }

  #connect(): RTCPeerConnection {
    const connection = new RTCPeerConnection({ iceServers: [...this.#iceServers()], bundlePolicy: "max-bundle" })
    const number = ++this.#number
    this.#slots.replaced(number)
    connection.onconnectionstatechange = () => {
      if (this.connection === connection && connection.connectionState === "failed") this.renew()
    }
    connection.ontrack = ({ transceiver: { mid, receiver }, track }) => {
      if (mid === null) return
      const kind = track.kind === "video" ? "video" : "audio"
      const options: TransformOptions = { direction: "receive", mid, kind, connection: number }
      receiver.transform = new RTCRtpScriptTransform(this.#mediaWorker, options)
      if (receiver.transform !== null) this.#slots.opened(mid, kind, track)
    }
    return connection
  }
}
