/** The streams that are received, by the keys: which slot shows whom, and what sounds. */

import { KINDS, type MediaKind } from "./frames.ts"
import type { TileKey } from "./receive_path.ts"
import type { SlotCounts } from "./worker_messages.ts"

const SHOWN_WITHIN_MS = 100 // a picture that no view shows by then is decoded all the same
const QUIET_MS = 3000 // without a frame for so long, a picture is not shown as one that goes on

/** A stream that is received, by the keys. */
export interface Tile extends TileKey {
  readonly kind: MediaKind
  readonly stream: MediaStream
  /** The first RTP timestamp that is this sender's: what the decoder still holds of before is not shown. */
  readonly rtpTimestamp: number
  /** Whether frames have come of late. */
  readonly isLive: boolean
  /** When the last frame is known to have been opened, in seconds of the page's clock. */
  readonly openedAt: number
  /** Something is ready to show it. */
  readonly shown: () => void
}

export class Tiles {
  /** By mid. */
  readonly #tracks = new Map<string, MediaStreamTrack>()
  readonly #tiles = new Map<string, Tile>()
  readonly #sounds = new Map<string, HTMLAudioElement>()
  readonly #changed: () => void
  #speaker = ""

  /** `changed` is told when there are others. */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  get all(): readonly Tile[] {
    return [...this.#tiles.values()]
  }

  /** A slot delivers to this track, whoever will be in it. */
  opened(mid: string, track: MediaStreamTrack): void {
    this.#tracks.set(mid, track)
  }

  /**
   * A slot has another sender: what it delivers is that tile's from now on, and no other's. `bound` is told when it may
   * deliver: what is decoded before something shows it is lost, and the first picture is a key frame.
   */
  bind(mid: string, key: TileKey, rtpTimestamp: number, bound: () => void): void {
    this.#remove(mid)
    const track = this.#tracks.get(mid)
    const kind = KINDS[key.kidContext]
    if (track === undefined || kind === undefined) return bound()
    const stream = new MediaStream([track])
    const openedAt = performance.now() / 1000
    this.#tiles.set(mid, { ...key, kind, stream, rtpTimestamp, isLive: true, openedAt, shown: bound })
    if (kind === "video") setTimeout(bound, SHOWN_WITHIN_MS)
    else {
      this.#play(mid, stream)
      bound()
    }
    this.#changed()
  }

  /** Only these are in the group. */
  keepOnly(present: ReadonlySet<string>): void {
    for (const [mid, { owner }] of this.#tiles) if (!present.has(owner)) this.#remove(mid)
  }

  /** When each slot's last frame was opened. */
  setQuiet(slots: readonly SlotCounts[]): void {
    for (const { mid, quietMs } of slots) {
      const tile = this.#tiles.get(mid)
      const openedAt = (performance.now() - quietMs) / 1000
      if (tile !== undefined) this.#tiles.set(mid, { ...tile, isLive: quietMs < QUIET_MS, openedAt })
    }
  }

  /** Have sound come out of this device; "" is the browser's choice. */
  setSpeaker(deviceId: string): void {
    this.#speaker = deviceId
    for (const sound of this.#sounds.values()) void sound.setSinkId(deviceId).catch(() => undefined)
  }

  /** The connection is gone, and its slots. */
  clear(): void {
    for (const mid of [...this.#tiles.keys()]) this.#remove(mid)
    this.#tracks.clear()
  }

  #play(mid: string, stream: MediaStream): void {
    const sound = new Audio()
    sound.srcObject = stream
    sound.autoplay = true
    this.#sounds.set(mid, sound)
    if (this.#speaker !== "") void sound.setSinkId(this.#speaker).catch(() => undefined)
    // Refused without a click before; the page's join button is one.
    void sound.play().catch(() => undefined)
  }

  #remove(mid: string): void {
    const sound = this.#sounds.get(mid)
    if (sound !== undefined) sound.srcObject = null
    this.#sounds.delete(mid)
    if (this.#tiles.delete(mid)) this.#changed()
  }
}

/**
 * Have `video` show a tile, from the first picture on that is its sender's: the decoder may still give out pictures
 * of who was in the slot before.
 */
export function showTile(video: HTMLVideoElement, tile: Tile): void {
  video.style.visibility = "hidden"
  video.addEventListener("loadstart", () => tile.shown(), { once: true })
  video.srcObject = tile.stream
  const look = (_now: number, picture: VideoFrameCallbackMetadata) => {
    if (video.srcObject !== tile.stream) return
    // Modulo 2^32. A browser that does not tell the timestamp is given a moment instead.
    const behind = picture.rtpTimestamp === undefined ? 0 : (tile.rtpTimestamp - picture.rtpTimestamp) >>> 0
    if (behind === 0 || behind >= 2 ** 31) video.style.visibility = ""
    else video.requestVideoFrameCallback(look)
  }
  video.requestVideoFrameCallback(look)
}
