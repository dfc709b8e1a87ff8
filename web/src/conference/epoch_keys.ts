/**
 * When media keys change (docs/design.md, "SFrame profile"): decrypt first, then encrypt.
 *
 * New keys open frames as soon as a commit is processed. They seal frames
 * - at once, if the commit removes anybody or is the first;
 * - otherwise when all members have acknowledged an epoch that we do not send under yet,
 * - or SWITCH_AFTER_S after the oldest commit that we have not switched to,
 * - or when we would lag by more than MAX_LAG epochs.
 * A switch goes to the newest epoch, whichever of these it was.
 *
 * Sans-I/O: the caller passes `now` (seconds, monotonic) and calls `handleTimer` at `nextTimer`. One EpochKeys for a
 * group id, for as long as this device is in that group: the counters live here.
 */

import type { Octets } from "../bytes.ts"
import { cipherSuite } from "../sframe/ciphersuite.ts"
import type { EpochSecret } from "../sframe/epochs.ts"
import { type Opened, ReceivingEpochs } from "../sframe/receiving_epochs.ts"
import { SendingEpochs } from "../sframe/sending_epochs.ts"

export type { EpochSecret, Opened }

const SWITCH_AFTER_S = 0.5
const MAX_LAG = 2 // epochs

/** The newest epoch while we send under an earlier one; since when the oldest such commit waits. */
interface Waiting {
  readonly newest: EpochSecret
  readonly since: number
}

export class EpochKeys {
  readonly #sending: SendingEpochs
  readonly #receiving: ReceivingEpochs
  readonly #onSwitched: (epoch: number) => void
  #waiting: Waiting | undefined

  /** `onSwitched` is called when we begin to seal under another epoch: video then sends a key frame. */
  constructor(suiteId: number, onSwitched: (epoch: number) => void) {
    const suite = cipherSuite(suiteId)
    this.#sending = new SendingEpochs(suite)
    this.#receiving = new ReceivingEpochs(suite)
    this.#onSwitched = onSwitched
  }

  /** The epoch that frames are sealed under; undefined if nothing may be sent. */
  get sendingEpoch(): number | undefined {
    return this.#sending.epoch
  }

  /** The epochs whose frames still open, oldest first. */
  retained(): number[] {
    return this.#receiving.epochs()
  }

  /** Takes up the epoch of a commit that was just processed; `removes` if it removes anybody. */
  adopt(secret: EpochSecret, removes: boolean, now: number): void {
    this.#receiving.add(secret, now)
    this.#waiting = { newest: secret, since: this.#waiting?.since ?? now }
    const sendingEpoch = this.sendingEpoch
    if (removes || sendingEpoch === undefined || secret.epoch - sendingEpoch > MAX_LAG) this.#switch()
    else this.handleTimer(now)
  }

  /**
   * The server says that all members have processed the commits up to `epoch`. Taken as a hint only: an epoch that
   * we have switched to, or do not know, changes nothing.
   */
  acknowledged(epoch: number): void {
    const sendingEpoch = this.sendingEpoch
    if (this.#waiting === undefined || sendingEpoch === undefined) return
    if (sendingEpoch < epoch && epoch <= this.#waiting.newest.epoch) this.#switch()
  }

  /** When `handleTimer` should be called next; infinite if never. */
  nextTimer(): number {
    const switchAt = this.#waiting === undefined ? Infinity : this.#waiting.since + SWITCH_AFTER_S
    return Math.min(switchAt, this.#receiving.nextTimer())
  }

  /** Switches and erases what is due. */
  handleTimer(now: number): void {
    this.#receiving.handleTimer(now)
    if (this.#waiting !== undefined && now >= this.#waiting.since + SWITCH_AFTER_S) this.#switch()
  }

  /** Erases every key, on leaving: nothing is sealed or opened any more. */
  erase(): void {
    this.#waiting = undefined
    this.#sending.stop()
    this.#receiving.erase()
  }

  /** The first `clear` bytes of `frame`, then the SFrame ciphertext of the others. */
  seal(kidContext: number, frame: Uint8Array, clear: number): Promise<Octets> {
    return this.#sending.seal(kidContext, frame, clear)
  }

  /** Opens a frame that begins with `clear` bytes in the clear. SFrameProtocolError, and nothing has changed then. */
  open(frame: Uint8Array, clear: number, now: number): Promise<Opened> {
    return this.#receiving.open(frame, clear, now)
  }

  #switch(): void {
    const { newest } = this.#waiting!
    // And with it our last reference to a base key that only waited to be sent under.
    this.#waiting = undefined
    this.#sending.switch(newest)
    this.#onSwitched(newest.epoch)
  }
}
