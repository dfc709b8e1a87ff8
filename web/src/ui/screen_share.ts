/** The screen that we share, if we do: opened by the user's choice, and given back when either side ends it. */

import { SCREEN, SCREEN_AUDIO } from "../conference/frames.ts"

export class ScreenShare {
  #stream: MediaStream | undefined
  readonly #setTrack: (kidContext: number, track: MediaStreamTrack | null) => void
  readonly #changed: () => void

  /** `setTrack` sends a track under a context (`frames`), null sends nothing; `changed` is told of another state. */
  constructor(setTrack: (kidContext: number, track: MediaStreamTrack | null) => void, changed: () => void) {
    this.#setTrack = setTrack
    this.#changed = changed
  }

  get isOn(): boolean {
    return this.#stream !== undefined
  }

  get picture(): MediaStreamTrack | undefined {
    return this.#stream?.getVideoTracks()[0]
  }

  async start(): Promise<void> {
    let stream: MediaStream
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true })
    } catch {
      return // the user thought better of it
    }
    this.stop()
    this.#stream = stream
    const picture = stream.getVideoTracks()[0]!
    picture.contentHint = "detail"
    picture.addEventListener("ended", () => this.#stream === stream && this.stop())
    this.#setTrack(SCREEN, picture)
    this.#setTrack(SCREEN_AUDIO, stream.getAudioTracks()[0] ?? null)
    this.#changed()
  }

  stop(): void {
    if (this.#stream === undefined) return
    for (const track of this.#stream.getTracks()) track.stop()
    this.#stream = undefined
    this.#setTrack(SCREEN, null)
    this.#setTrack(SCREEN_AUDIO, null)
    this.#changed()
  }
}
