/**
 * The two workers of a meeting. Starting them takes a third of a second, and until the engine has compiled MLS and
 * X-Wing they run at a fraction of their speed: so both begin while the user looks into the mirror. Nobody hears of us
 * before the meeting begins.
 */

import type { FromMedia, FromParticipant, ToMedia, ToParticipant } from "./worker_messages.ts"

export class Workers {
  readonly participant = new Worker(new URL("./participant.worker.ts", import.meta.url), { type: "module" })
  readonly media = new Worker(new URL("./media.worker.ts", import.meta.url), { type: "module" })
  #isBroken = false
  #onBroken: () => void = () => undefined

  constructor() {
    for (const worker of [this.participant, this.media]) {
      worker.onerror = () => {
        this.#isBroken = true
        this.#onBroken()
      }
    }
  }

  /** A meeting of this cipher suite may begin soon, and there is nothing more urgent to do. */
  prepare(suite: number): void {
    this.tell({ type: "prepare", suite })
  }

  /** What they say goes here from now on; `broken` is called if one of them fails, or has failed. */
  listen(onParticipant: (message: FromParticipant) => void, onMedia: (message: FromMedia) => void, broken: () => void): void {
    this.participant.onmessage = ({ data }: MessageEvent<FromParticipant>) => onParticipant(data)
    this.media.onmessage = ({ data }: MessageEvent<FromMedia>) => onMedia(data)
    this.#onBroken = broken
    if (this.#isBroken) queueMicrotask(broken)
  }

  tell(message: ToParticipant, transfer: Transferable[] = []): void {
    this.participant.postMessage(message, transfer)
  }

  tellMedia(message: ToMedia, transfer: Transferable[] = []): void {
    this.media.postMessage(message, transfer)
  }

  /** With them goes every key. */
  terminate(): void {
    this.participant.terminate()
    this.media.terminate()
  }
}
