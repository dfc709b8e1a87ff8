/**
 * The receiving side under MLS (RFC 9605 §5.2): whose key a KID names, and when keys are erased.
 *
 * A receiver reads the low E bits of a KID first, then uses that epoch's S for the rest. Keys are derived when a
 * frame first asks for them; a KID outside of the epoch's leaves and contexts is refused by arithmetic alone, so
 * nobody can make us derive for ever.
 *
 * Erased by the clock, at the latest with the next call after that:
 * - a sender's keys of earlier epochs, MOVED_ON_S after its first frame under a later one;
 * - all of an epoch, KEPT_S after its successor was added;
 * - the oldest epoch when MAX_EPOCHS are held, and an earlier one with the same low-order E bits.
 */

import type { Octets } from "../bytes.ts"
import type { CipherSuite } from "./ciphersuite.ts"
import { checkSecret, CONTEXTS, type EpochSecret, epochBits, kidParts } from "./epochs.ts"
import { SFrameMisuseError, SFrameProtocolError } from "./errors.ts"
import { decodeHeader } from "./header.ts"
import { ReceivingKey } from "./keys.ts"

const MOVED_ON_S = 0.5
const KEPT_S = 5 // never less than 2 s: a sender may be that late with a commit
const MAX_EPOCHS = 32

/** A frame that was opened: the plaintext with its clear prefix, and who sealed it. */
export interface Opened {
  readonly frame: Octets
  readonly epoch: number
  readonly senderIndex: number
  readonly kidContext: number
}

interface Stream {
  readonly key: ReceivingKey
  readonly senderIndex: number
  readonly kidContext: number
  wasHeard: boolean
}

interface Epoch {
  readonly secret: EpochSecret
  dropAt: number
  /** By KID. */
  readonly streams: Map<bigint, Stream>
}

/** A sender was first heard under `epoch`; its earlier keys go at `dropAt`. */
interface Move {
  readonly dropAt: number
  readonly senderIndex: number
  readonly epoch: number
}

export class ReceivingEpochs {
  readonly #suite: CipherSuite
  /** By low-order E bits; oldest first. */
  readonly #epochs = new Map<number, Epoch>()
  #newest = -1
  // Both waits are constants, so that what is queued first is due first.
  #moves: Move[] = []
  /** By sender index: keys of epochs before this one are erased. */
  readonly #movedTo = new Map<number, number>()

  constructor(suite: CipherSuite) {
    this.#suite = suite
  }

  /** The epochs whose keys are held, oldest first. */
  epochs(): number[] {
    return [...this.#epochs.values()].map(({ secret }) => secret.epoch)
  }

  /** When `handleTimer` should be called next; infinite if never. */
  nextTimer(): number {
    return Math.min(this.#moves[0]?.dropAt ?? Infinity, ...[...this.#epochs.values()].map(({ dropAt }) => dropAt))
  }

  /** Takes up a new epoch, whose frames open from now on. Epochs come in order, though some may be left out. */
  add(secret: EpochSecret, now: number): void {
    checkSecret(secret, this.#suite)
    if (secret.epoch <= this.#newest) {
      throw new SFrameMisuseError(`epoch ${secret.epoch} does not come after ${this.#newest}`)
    }
    this.handleTimer(now)
    const predecessor = this.#epochs.get(epochBits(Math.max(0, this.#newest)))
    if (predecessor !== undefined) predecessor.dropAt = now + KEPT_S
    // "receivers MUST remove an old epoch when a new epoch with the same low-order E bits is introduced"
    this.#epochs.delete(epochBits(secret.epoch))
    if (this.#epochs.size === MAX_EPOCHS) this.#dropOldest()
    this.#epochs.set(epochBits(secret.epoch), { secret, dropAt: Infinity, streams: new Map() })
    this.#newest = secret.epoch
  }

  /** Erases every key. */
  erase(): void {
    this.#epochs.clear()
    this.#moves = []
    this.#movedTo.clear()
  }

  /** Erases what is due. */
  handleTimer(now: number): void {
    while (this.#moves.length && this.#moves[0]!.dropAt <= now) this.#dropEarlierKeys(this.#moves.shift()!)
    for (const [bits, epoch] of this.#epochs) if (epoch.dropAt <= now) this.#epochs.delete(bits)
  }

  /** Opens a frame whose first `clear` bytes are in the clear. SFrameProtocolError, and nothing has changed then. */
  async open(frame: Uint8Array, clear: number, now: number): Promise<Opened> {
    this.handleTimer(now)
    const header = decodeHeader(frame, clear)
    const epoch = this.#epochs.get(epochBits(header.kid))
    if (epoch === undefined) {
      throw new SFrameProtocolError("unknown key", "no epoch with these bits is held", this.#mayCome(header.kid), header.kid)
    }
    const stream = epoch.streams.get(header.kid) ?? this.#derive(epoch, header.kid)
    const opened = await stream.key.open(frame, clear, header)
    // Erased while it was being opened: what is erased opens nothing any more.
    if (epoch.streams.get(header.kid) !== stream || !this.#holds(epoch)) {
      throw new SFrameProtocolError("unknown key", "the key was erased meanwhile", false, header.kid)
    }
    if (!stream.wasHeard) this.#noteFirstFrame(epoch, stream, now)
    const { senderIndex, kidContext } = stream
    return { frame: opened, epoch: epoch.secret.epoch, senderIndex, kidContext }
  }

  #holds(epoch: Epoch): boolean {
    return this.#epochs.get(epochBits(epoch.secret.epoch)) === epoch
  }

  /**
   * Whether the epoch bits of a KID that is not held lie ahead of the newest epoch rather than behind. Before the
   * first epoch everything may come: a joiner hears the others before it has its keys.
   */
  #mayCome(kid: bigint): boolean {
    if (this.#newest < 0) return true
    const ahead = epochBits(BigInt(epochBits(kid)) - BigInt(this.#newest))
    return ahead > 0 && ahead < 128
  }

  #derive(epoch: Epoch, kid: bigint): Stream {
    const { secret, streams } = epoch
    const { context, senderIndex } = kidParts(secret.leafCount, kid)
    if (context >= CONTEXTS || senderIndex >= secret.leafCount || secret.blankLeaves.has(senderIndex)) {
      throw new SFrameProtocolError("no such sender", "the KID names a leaf or context that does not exist")
    }
    if (senderIndex === secret.ownLeaf) {
      throw new SFrameProtocolError("own frame", "the KID is one of our own")
    }
    if (secret.epoch < (this.#movedTo.get(senderIndex) ?? 0)) {
      throw new SFrameProtocolError("unknown key", "this sender's keys of that epoch were erased", false, kid)
    }
    const stream = {
      key: new ReceivingKey(this.#suite, kid, secret.baseKey),
      senderIndex,
      kidContext: Number(context),
      wasHeard: false,
    }
    streams.set(kid, stream)
    return stream
  }

  #noteFirstFrame(epoch: Epoch, stream: Stream, now: number): void {
    stream.wasHeard = true
    if (this.epochs()[0] === epoch.secret.epoch) return // there are no earlier keys
    this.#moves.push({ dropAt: now + MOVED_ON_S, senderIndex: stream.senderIndex, epoch: epoch.secret.epoch })
  }

  #dropEarlierKeys(move: Move): void {
    this.#movedTo.set(move.senderIndex, Math.max(move.epoch, this.#movedTo.get(move.senderIndex) ?? 0))
    for (const { secret, streams } of this.#epochs.values()) {
      if (secret.epoch >= move.epoch) continue
      for (const [kid, stream] of streams) if (stream.senderIndex === move.senderIndex) streams.delete(kid)
    }
  }

  #dropOldest(): void {
    const [oldest] = this.#epochs.keys()
    if (oldest !== undefined) this.#epochs.delete(oldest)
  }
}
