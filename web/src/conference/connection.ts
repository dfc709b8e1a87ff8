/** The WebSocket to the server, and how it comes back by itself. */

import { MessageError } from "../signaling/errors.ts"
import { type ClientMessage, decodeServer, encodeClient, type ServerMessage } from "../signaling/messages.ts"

const RETRY_FIRST_MS = 200
const RETRY_MOST_MS = 2000
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
  /** In turn; it is tried again. */
  lost(why: string): void
  /** In turn; it is not tried any more. */
  gaveUp(why: string): void
}

export class Connection {
  isOpen = false
  readonly #server: string
  readonly #url: string
  readonly #speaker: Speaker
  #socket: WebSocket | undefined
  /** When one was lost on which the server had spoken. */
  #lostAt: number | undefined
  #pauseMs = RETRY_FIRST_MS

  /** `server` as it stands in the link. */
  constructor(server: string, meetingId: string, speaker: Speaker) {
    this.#server = server
    this.#url = `${server.replace(/^http/, "ws")}/ws/${meetingId}`
    this.#speaker = speaker
  }

  connect(): void {
    const socket = new WebSocket(this.#url)
    let hasHeard = false
    socket.onopen = () => this.#speaker.inTurn(() => this.#opened(socket))
    socket.onmessage = ({ data }) => {
      const message = decoded(data)
      if (message === undefined) return socket.close()
      hasHeard = true
      this.#speaker.heard(message)
    }
    socket.onclose = () => this.#speaker.inTurn(() => this.#closed(socket, hasHeard))
  }

  /** Nothing is kept for the next connection, which begins with a resume. */
  send(message: ClientMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encodeClient(message))
  }

  close(code?: number): void {
    this.#socket?.close(code)
  }

  #opened(socket: WebSocket): void {
    if (this.#speaker.hasLeft) return socket.close(1000)
    this.#socket = socket
    this.isOpen = true
    this.#speaker.opened()
  }

  #closed(socket: WebSocket, hasHeard: boolean): void {
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
