/**
 * From sealed frames to tiles (DESIGN §6): open, wait a moment for keys, and let the KID decide the tile.
 *
 * Whose a frame is, is what the KID under its tag says; what the server announces for the slot is only compared with
 * that. A slot whose sender changes waits until the page has bound it to the other tile, so that nobody's picture is
 * shown under another's name. Each slot takes one frame after the other.
 */

import type { Octets } from "../bytes.ts"
import { type Refusal, SFrameProtocolError } from "../sframe/errors.ts"
import type { Opened } from "./epoch_keys.ts"
import { CLEAR, isVp8KeyFrame, KINDS, type MediaKind } from "./frames.ts"

const WAIT_S = 1
const BIND_S = 0.3
const ASK_AGAIN_S = 0.5
const MISNAMED_AFTER_S = 1
export const MAX_SLOTS = 1024 // that are announced: as many as one message names, and more than anybody has

/** Why a frame was dropped. */
export type Dropped = Refusal | "wrong kind" | "not bound" | "no key frame yet"

export interface TileKey {
  /** Participant id. */
  readonly owner: string
  readonly kidContext: number
}

/** What became of the frames on one m-line. Times are monotonic seconds. */
export interface Counts {
  opened: number
  readonly dropped: Map<Dropped, number>
  openedAt: number | undefined
  /** When the first frame was dropped since the last one that opened; replayed ones do not count. */
  failingSince: number | undefined
  failingFor: Dropped | undefined
  replayedAt: number | undefined
  /** The KID of the last frame for which there was no key. */
  unknownKid: bigint | undefined
}

/** For a slot the server announced one stream, and for over a second another has come. */
export interface Misnamed {
  readonly mid: string
  readonly announced: TileKey | undefined
  readonly actual: TileKey
  readonly since: number
}

/** What the path needs of its surroundings. */
export interface Surroundings {
  now(): number
  /** SFrameProtocolError if it does not open. */
  open(frame: Octets, clear: number): Promise<Opened>
  /** Who held that leaf in that epoch: a leaf may be given to somebody else later, a participant id may not. */
  ownerOf(epoch: number, leaf: number): string | undefined
  /** Resolves when there may be new keys, at the latest after so many seconds. */
  keysChanged(withinS: number): Promise<void>
  /** Have the page show this slot as that tile, from this RTP timestamp on; resolves when it does. */
  bind(mid: string, tile: TileKey, rtpTimestamp: number): Promise<void>
  /** Ask the sender in a slot for a key frame. */
  askKeyFrame(mid: string): void
}

interface Slot {
  readonly counts: Counts
  /** The KID whose key was last waited for: its frames are not waited for beyond that, until one opens. */
  waiting: { readonly kid: bigint | undefined; readonly until: number } | undefined
  tile: TileKey | undefined
  bound: TileKey | undefined
  binding: Promise<void> | undefined
  /** RTP timestamp of the last frame that the decoder got. */
  decodedTo: number | undefined
  needsKeyFrame: boolean
  askedAt: number
  announced: TileKey | undefined
  misnamedSince: number | undefined
}

function isSameTile(one: TileKey | undefined, other: TileKey | undefined): boolean {
  return one?.owner === other?.owner && one?.kidContext === other?.kidContext
}

/** Whether one RTP timestamp (modulo 2^32) lies after the other, as far as both are known. */
function isAfter(one: number | undefined, other: number | undefined): boolean {
  if (one === undefined || other === undefined) return true
  const ahead = (one - other) >>> 0
  return ahead > 0 && ahead < 2 ** 31
}

export class ReceivePath {
  readonly #around: Surroundings
  readonly #slots = new Map<string, Slot>()

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** What became of the frames on each m-line. */
  slots(): ReadonlyMap<string, Counts> {
    return new Map([...this.#slots].map(([mid, { counts }]) => [mid, counts]))
  }

  /** Who is in each slot, by the keys. */
  tiles(): ReadonlyMap<string, TileKey> {
    return new Map([...this.#slots].flatMap(([mid, { tile }]) => (tile ? [[mid, tile] as const] : [])))
  }

  /** The slots for which the server has named the wrong stream for over a second. */
  misnamed(now: number): Misnamed[] {
    return [...this.#slots].flatMap(([mid, { announced, tile, misnamedSince: since }]) =>
      since !== undefined && tile !== undefined && now - since >= MISNAMED_AFTER_S
        ? [{ mid, announced, actual: tile, since }]
        : [],
    )
  }

  /** The server says whose stream is in a slot. Nothing waits for it, and it decides nothing. */
  announce(mid: string, owner: string | null, kidContext: number | null): void {
    if (!this.#slots.has(mid) && this.#slots.size >= MAX_SLOTS) return
    const slot = this.#slot(mid)
    slot.announced = owner === null || kidContext === null ? undefined : { owner, kidContext }
    this.#compare(slot)
  }

  /** Forget the slots of a connection that is gone. */
  forget(): void {
    this.#slots.clear()
  }

  /**
   * The opened frame, if the decoder is to have it; undefined drops it. One call a slot at a time. `rtpTimestamp` is
   * the transport's word, undefined if it has none: from there on a newly bound tile may be shown.
   */
  async receive(
    mid: string,
    kind: MediaKind,
    frame: Octets,
    rtpTimestamp: number | undefined,
  ): Promise<Octets | undefined> {
    const slot = this.#slot(mid)
    try {
      const opened = await this.#open(slot, frame, CLEAR[kind])
      const owner = this.#around.ownerOf(opened.epoch, opened.senderIndex)
      if (owner === undefined) return this.#drop(mid, slot, "no such sender")
      const tile = { owner, kidContext: opened.kidContext }
      if (KINDS[tile.kidContext] !== kind) return this.#drop(mid, slot, "wrong kind")
      this.#countOpened(slot)
      return await this.#route(mid, slot, tile, kind, opened.frame, rtpTimestamp)
    } catch (error) {
      if (!(error instanceof SFrameProtocolError)) throw error
      if (error.kid !== undefined) slot.counts.unknownKid = error.kid
      if (error.refusal !== "replayed" && kind === "video") slot.needsKeyFrame = true
      return this.#drop(mid, slot, error.refusal, kind)
    }
  }

  async #open(slot: Slot, frame: Octets, clear: number): Promise<Opened> {
    for (;;) {
      try {
        return await this.#around.open(frame, clear)
      } catch (error) {
        if (!(error instanceof SFrameProtocolError && error.mayCome)) throw error
        const now = this.#around.now()
        if (slot.waiting?.kid !== error.kid || slot.waiting === undefined) {
          slot.waiting = { kid: error.kid, until: now + WAIT_S }
        }
        const left = slot.waiting.until - now
        if (left <= 0) throw error
        await this.#around.keysChanged(left)
      }
    }
  }

  async #route(
    mid: string,
    slot: Slot,
    tile: TileKey,
    kind: MediaKind,
    frame: Octets,
    rtpTimestamp: number | undefined,
  ): Promise<Octets | undefined> {
    if (!isSameTile(slot.tile, tile)) {
      // Else what the decoder still holds of the one before would be shown as this one's.
      if (!isAfter(rtpTimestamp, slot.decodedTo)) return this.#drop(mid, slot, "not bound", kind)
      slot.tile = tile
      slot.bound = undefined
      // The decoder knows nothing of this sender's pictures: it begins with a key frame.
      slot.needsKeyFrame = kind === "video"
      slot.binding = this.#bind(mid, slot, tile, rtpTimestamp ?? 0)
    }
    this.#compare(slot)
    if (slot.bound === undefined) await Promise.race([slot.binding, this.#pause()])
    if (slot.bound === undefined) return this.#drop(mid, slot, "not bound", kind)
    if (slot.needsKeyFrame) {
      if (!isVp8KeyFrame(frame)) return this.#drop(mid, slot, "no key frame yet", kind)
      slot.needsKeyFrame = false
    }
    slot.decodedTo = rtpTimestamp
    return frame
  }

  async #bind(mid: string, slot: Slot, tile: TileKey, rtpTimestamp: number): Promise<void> {
    await this.#around.bind(mid, tile, rtpTimestamp)
    if (slot.tile === tile) slot.bound = tile
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, 1000 * BIND_S))
  }

  #slot(mid: string): Slot {
    let slot = this.#slots.get(mid)
    if (slot === undefined) {
      slot = {
        counts: {
          opened: 0,
          dropped: new Map(),
          openedAt: undefined,
          failingSince: undefined,
          failingFor: undefined,
          replayedAt: undefined,
          unknownKid: undefined,
        },
        waiting: undefined,
        tile: undefined,
        bound: undefined,
        binding: undefined,
        decodedTo: undefined,
        needsKeyFrame: false,
        askedAt: -Infinity,
        announced: undefined,
        misnamedSince: undefined,
      }
      this.#slots.set(mid, slot)
    }
    return slot
  }

  #countOpened(slot: Slot): void {
    const { counts } = slot
    counts.opened++
    counts.openedAt = this.#around.now()
    counts.failingSince = counts.failingFor = slot.waiting = undefined
  }

  #drop(mid: string, slot: Slot, reason: Dropped, kind?: MediaKind): undefined {
    const now = this.#around.now()
    const { counts } = slot
    counts.dropped.set(reason, (counts.dropped.get(reason) ?? 0) + 1)
    // Networks duplicate, and a frame that opened is not one that fails.
    if (reason === "replayed") counts.replayedAt = now
    else if (reason !== "not bound" && reason !== "no key frame yet") {
      counts.failingFor = reason
      counts.failingSince ??= now
    }
    if (kind === "video" && slot.needsKeyFrame && now - slot.askedAt >= ASK_AGAIN_S) {
      slot.askedAt = now
      this.#around.askKeyFrame(mid)
    }
    return undefined
  }

  #compare(slot: Slot): void {
    if (slot.tile === undefined || isSameTile(slot.tile, slot.announced)) slot.misnamedSince = undefined
    else slot.misnamedSince ??= this.#around.now()
  }
}
