/**
 * The WebSocket to the server, and how it comes back by itself. A page is not told when its network has changed or its
 * machine has slept, and a dead connection may look alive for minutes: whoever suspects that calls `renew`.
 */

import { MessageError } from "../signaling/errors.ts"
import { type ClientMessage, decodeServer, encodeClient, type ServerMessage } from "../signaling/messages.ts"
import { LOOK_EVERY_S } from "./sleep_watch.ts"

const RETRY_FIRST_MS = 200
const RETRY_MOST_MS = 2000
const ANSWER_MS = 10_000 // an attempt on which the server has not spoken by then is none
const GIVE_UP_S = 60

const now = () => performance.now() / 1000

/** Whoever speaks through a connection. */
export interface Speaker {
  /** Nothing is wanted of the server any more. */
  readonly hasLeft: boolean
  /** Do this when all that came before it is done. */
  inTurn(task: () => void): void
  /** In turn: greet the server. */
  opened(): void
  /** At once. */
  heard(message: ServerMessage): void
  /** At once: what came is no message, so that the connection is given up; it is tried again. */
  misheard(): void
  /** In turn; it is tried again. */
  lost(why: string): void
  /** In turn; it is not tried any more. */
  gaveUp(why: string): void
}

interface Attempt {
  readonly socket: WebSocket
  readonly timer: ReturnType<typeof setTimeout>
  hasHeard: boolean
  isOver: boolean
}

export class Connection {
  isOpen = false
  readonly #server: string
  readonly #url: string
  readonly #speaker: Speaker
  /** The last one. */
  #attempt: Attempt | undefined
  /** On which the server has been greeted. */
  #socket: WebSocket | undefined
  /** When one was lost on which the server had spoken. */
  #lostAt: number | undefined
  /** How often was looked since the server was heard. A machine that sleeps does not look. */
  #looks = 0
  #pauseMs = RETRY_FIRST_MS

  /** `server` as it stands in the link. */
  constructor(server: string, meetingId: string, speaker: Speaker) {
    this.#server = server
    this.#url = `${server.replace(/^http/, "ws")}/ws/${meetingId}`
    this.#speaker = speaker
  }

  connect(): void {
    const socket = new WebSocket(this.#url)
    const timer = setTimeout(() => this.#drop(attempt), ANSWER_MS)
    const attempt: Attempt = { socket, timer, hasHeard: false, isOver: false }
    this.#attempt = attempt
    socket.onopen = () => this.#speaker.inTurn(() => this.#opened(attempt))
    socket.onmessage = ({ data }) => this.#heard(attempt, data)
    socket.onclose = () => this.#drop(attempt)
  }

  /** What there is may be dead without anybody's having said so: have another. */
  renew(): void {
    if (this.#lostAt !== undefined) this.#lostAt = now() // the minute of trying begins afresh
    if (this.#attempt !== undefined && (this.#attempt.hasHeard || this.#lostAt !== undefined)) this.#drop(this.#attempt)
  }

  /** To be called every LOOK_EVERY_S. */
  look(): void {
    if (this.isOpen) this.#looks++
  }

  /** For how long the server has said nothing, being connected. */
  get silentS(): number {
    return LOOK_EVERY_S * this.#looks
  }

  /** Nothing is kept for the next connection, which begins with a resume. */
  send(message: ClientMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encodeClient(message))
  }

  close(code?: number): void {
    this.#socket?.close(code)
  }

  #heard(attempt: Attempt, data: unknown): void {
    if (attempt.isOver) return
    const message = decoded(data)
    if (message === undefined) {
      this.#speaker.misheard()
      return this.#drop(attempt)
    }
    clearTimeout(attempt.timer)
    attempt.hasHeard = true
    this.#looks = 0
    this.#speaker.heard(message)
  }

  /** Be done with an attempt, whether or not the network lets it close. */
  #drop(attempt: Attempt): void {
    if (attempt.isOver) return
    attempt.isOver = true
    clearTimeout(attempt.timer)
    attempt.socket.close()
    this.#speaker.inTurn(() => this.#closed(attempt))
  }

  #opened({ socket, isOver }: Attempt): void {
    if (this.#speaker.hasLeft) return socket.close(1000)
    if (isOver) return
    this.#socket = socket
    this.isOpen = true
    this.#looks = 0
    this.#speaker.opened()
  }

  #closed({ socket, hasHeard }: Attempt): void {
    if (this.#socket === socket) this.#socket = undefined
    if (this.#speaker.hasLeft) return
    if (hasHeard) {
      this.#lostAt = now()
      this.#pauseMs = RETRY_FIRST_MS
    }
    const why = hasHeard
      ? "The connection to the server is lost. It comes back by itself."
      : `${this.#server} cannot be reached, or has no such meeting: it is over, or the link is another server's.`
    if (this.isOpen) this.#speaker.lost(why)
    this.isOpen = false
    if (this.#lostAt === undefined || now() - this.#lostAt > GIVE_UP_S) return this.#speaker.gaveUp(why)
    setTimeout(() => this.connect(), this.#pauseMs * (0.5 + 0.5 * Math.random()))
    this.#pauseMs = Math.min(2 * this.#pauseMs, RETRY_MOST_MS)
  }
}

function decoded(data: unknown): ServerMessage | undefined {
  if (typeof data !== "string") return undefined
  try {
    return decodeServer(data)
  } catch (error) {
    if (error instanceof MessageError) return undefined
    throw error
  }
}
