/**
 * The connection on which a participant sends: made, and made again whenever it breaks.
 *
 * Every sender has its transform from birth, so nothing can leave unsealed. One negotiation at a time; the server's
 * answer does not say to which offer it belongs, but answers come in the order of the offers, so those to an offer
 * that was given up are counted off.
 */

import type { Client } from "../signaling/messages.ts"
import { atConstantRate } from "./constant_rate.ts"
import { AUDIO, KINDS } from "./frames.ts"
import { limited } from "./header_extensions.ts"
import type { TransformOptions } from "./worker_messages.ts"

const ANSWER_MS = 10_000
const ATTEMPTS_APART_MS = 1000
const ATTEMPTS_APART_MOST_MS = 30_000
const MAX_BITRATE: Readonly<Record<number, number>> = { 1: 1_500_000, 3: 2_500_000 }

/** The server's, or why there is none: none came in time, the offer was given up, or the connection to ask on went. */
type Answer = { readonly sdp: string } | "late" | "given up" | "lost"

interface Attempt {
  readonly connection: RTCPeerConnection
  readonly iceServers: readonly RTCIceServer[]
  /** The server knows of it. */
  wasOffered: boolean
  /** Its local description is of what is to be sent now. */
  isDescribed: boolean
  readonly senders: Map<number, RTCRtpTransceiver>
}

export class Publishing {
  readonly #mediaWorker: Worker
  readonly #send: (message: Client<"publish">) => void
  readonly #iceServers: () => readonly RTCIceServer[]
  readonly #hasAudioLevels: boolean
  /** By context; what is to be sent. */
  readonly #tracks = new Map<number, MediaStreamTrack>()
  #attempt: Attempt | undefined
  #mayPrepare = false
  #mayPublish = false
  #isNegotiating = false
  #isOutdated = false
  #answer: ((answer: Answer) => void) | undefined
  #answersToSkip = 0
  #pauseMs = ATTEMPTS_APART_MS

  /** `hasAudioLevels` has the server told how loud our microphone is. */
  constructor(
    mediaWorker: Worker,
    send: (message: Client<"publish">) => void,
    iceServers: () => readonly RTCIceServer[],
    hasAudioLevels: boolean,
  ) {
    this.#mediaWorker = mediaWorker
    this.#send = send
    this.#iceServers = iceServers
    this.#hasAudioLevels = hasAudioLevels
  }

  /** We may be in the group soon: make a connection ready, of which the server is told nothing yet. */
  prepare(): void {
    this.#mayPrepare = true
    if (this.#attempt === undefined && this.#tracks.size && !this.#isNegotiating) void this.#makeReady()
  }

  /** We are in the group: publish, on a new connection if there is one already. */
  begin(): void {
    this.#mayPublish = true
    if (!this.#isReady || this.#tracks.size === 0) this.#drop()
    this.#negotiate()
  }

  /** Send this track under this context; null sends nothing. */
  setTrack(kidContext: number, track: MediaStreamTrack | null): void {
    const sender = this.#attempt?.senders.get(kidContext)
    const wasSent = this.#tracks.has(kidContext)
    if (track === null) this.#tracks.delete(kidContext)
    else this.#tracks.set(kidContext, track)
    // Another track of a stream that goes on needs no word with the server.
    if (track !== null && wasSent && sender !== undefined) void sender.sender.replaceTrack(track)
    else {
      if (this.#attempt !== undefined) this.#attempt.isDescribed = false
      if (this.#mayPrepare && !this.#mayPublish) this.prepare()
      else this.#negotiate()
    }
  }

  /** Signaling has a new connection: what was asked on the one before it is not answered any more. */
  reconnected(): void {
    this.#answersToSkip = 0
    if (this.#answer === undefined) return
    this.#isOutdated = true
    this.#answer("lost")
  }

  /** The server's answer to an offer of ours. */
  takeAnswer(sdp: string): void {
    if (this.#answersToSkip) this.#answersToSkip--
    else this.#answer?.({ sdp })
  }

  /** Have the encoder begin anew: for a browser whose transforms cannot. */
  forceKeyFrame(kidContext: number): void {
    const sender = this.#attempt?.senders.get(kidContext)?.sender
    if (sender === undefined) return
    const parameters = sender.getParameters()
    const options = { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) }
    const setParameters = sender.setParameters as (parameters: unknown, options: unknown) => Promise<void>
    void setParameters.call(sender, parameters, options).catch(() => undefined)
  }

  /** The connection, for its statistics. */
  get connection(): RTCPeerConnection | undefined {
    return this.#attempt?.connection
  }

  /** Stop sending. */
  close(): void {
    this.#mayPrepare = this.#mayPublish = false
    this.#drop()
  }

  get #isReady(): boolean {
    const attempt = this.#attempt
    return attempt !== undefined && !attempt.wasOffered && attempt.iceServers === this.#iceServers()
  }

  /** What takes a browser its time: threads, a certificate, the first description. */
  async #makeReady(): Promise<void> {
    this.#isNegotiating = true
    const attempt = (this.#attempt = this.#connect())
    try {
      await this.#describe(attempt)
    } catch {
      if (this.#attempt === attempt) this.#drop() // another is made when it is needed
    }
    this.#isNegotiating = false
    this.#negotiate()
  }

  #drop(): void {
    const attempt = this.#attempt
    this.#attempt = undefined
    attempt?.connection.close()
    this.#answer?.("given up")
  }

  #negotiate(): void {
    if (this.#isNegotiating) this.#isOutdated = true
    else if (this.#mayPublish && (this.#attempt !== undefined || this.#tracks.size)) void this.#negotiateOnce()
  }

  async #negotiateOnce(): Promise<void> {
    this.#isNegotiating = true
    this.#isOutdated = false
    let isDone = false
    try {
      isDone = await this.#exchange()
    } catch {
      this.#drop() // a description that makes no sense; begin again
    }
    this.#isNegotiating = false
    if (isDone) this.#pauseMs = ATTEMPTS_APART_MS
    if (this.#isOutdated) this.#negotiate()
    else if (!isDone && this.#mayPublish) {
      setTimeout(() => this.#negotiate(), this.#pauseMs)
      this.#pauseMs = Math.min(2 * this.#pauseMs, ATTEMPTS_APART_MOST_MS)
    }
  }

  async #exchange(): Promise<boolean> {
    const attempt = (this.#attempt ??= this.#connect())
    const { connection, senders } = attempt
    if (attempt.wasOffered || !attempt.isDescribed) await this.#describe(attempt)
    const streams = [...senders].flatMap(([kid_context, { mid }]) =>
      this.#tracks.has(kid_context) && mid !== null ? [{ mid, kid_context }] : [],
    )
    const microphone = senders.get(AUDIO)?.mid ?? undefined
    const telling = new Set(this.#hasAudioLevels && microphone !== undefined ? [microphone] : [])
    const offer = limited(connection.localDescription!.sdp, telling)
    attempt.wasOffered = true
    const sdp = await this.#ask({ type: "publish", sdp: offer, streams })
    if (sdp === undefined || this.#attempt !== attempt) return false
    await connection.setRemoteDescription({ type: "answer", sdp: atConstantRate(limited(sdp, telling)) })
    return true
  }

  #connect(): Attempt {
    const iceServers = this.#iceServers()
    const connection = new RTCPeerConnection({ iceServers: [...iceServers], bundlePolicy: "max-bundle" })
    const attempt: Attempt = { connection, iceServers, wasOffered: false, isDescribed: false, senders: new Map() }
    connection.onconnectionstatechange = () => {
      if (this.#attempt !== attempt || connection.connectionState !== "failed") return
      this.#drop()
      setTimeout(() => this.#negotiate(), ATTEMPTS_APART_MS)
    }
    return attempt
  }

  async #describe(attempt: Attempt): Promise<void> {
    this.#setSenders(attempt)
    attempt.isDescribed = true
    await attempt.connection.setLocalDescription(await attempt.connection.createOffer())
  }

  #setSenders({ connection, senders }: Attempt): void {
    for (const [kidContext, track] of this.#tracks) {
      const known = senders.get(kidContext)
      if (known === undefined) senders.set(kidContext, this.#addSender(connection, kidContext, track))
      else {
        known.direction = "sendonly"
        void known.sender.replaceTrack(track)
      }
    }
    for (const [kidContext, transceiver] of senders) {
      if (this.#tracks.has(kidContext)) continue
      transceiver.direction = "inactive"
      void transceiver.sender.replaceTrack(null)
    }
  }

  #addSender(connection: RTCPeerConnection, kidContext: number, track: MediaStreamTrack): RTCRtpTransceiver {
    const maxBitrate = MAX_BITRATE[kidContext]
    const transceiver = connection.addTransceiver(KINDS[kidContext]!, {
      direction: "sendonly",
      sendEncodings: [maxBitrate === undefined ? {} : { maxBitrate }],
    })
    const options: TransformOptions = { direction: "send", kidContext }
    transceiver.sender.transform = new RTCRtpScriptTransform(this.#mediaWorker, options)
    // The track comes last: there is no moment in which it could be sent without the transform.
    void transceiver.sender.replaceTrack(track)
    return transceiver
  }

  /** The server's answer; undefined if it gives none in time. */
  async #ask(offer: Client<"publish">): Promise<string | undefined> {
    const asked = new Promise<Answer>((resolve) => (this.#answer = resolve))
    this.#send(offer)
    const timer = setTimeout(() => this.#answer?.("late"), ANSWER_MS)
    const answer = await asked
    clearTimeout(timer)
    this.#answer = undefined
    if (answer === "given up") this.#answersToSkip++
    return typeof answer === "object" ? answer.sdp : undefined
  }
}
