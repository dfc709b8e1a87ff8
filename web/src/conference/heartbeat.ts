/**
 * A hidden commit is noticed (DESIGN §5): members confirm to each other which epoch they are in.
 *
 * A server that lets two parts of a meeting go on in different epochs cuts each off from the other's heartbeats, for
 * they are encrypted and signed under the epoch. Who is no longer confirmed by a majority stops sending. One confirms
 * as of when it was sent, told by the sender's own clock and the heartbeat of the same epoch that came quickest: it
 * does not help the server to keep heartbeats for after the split.
 */

const PERIOD_S = 5
const PERIOD_PER_MEMBER_S = 0.1
const PERIODS_UNTIL_ISOLATED = 3

/** Who has confirmed the epoch that we are in, and since when most have not. */
export class Heartbeats {
  #epoch: number | undefined
  #wasCurrentUntil = new Map<number, number>()
  /** By leaf. */
  #confirmedAt = new Map<number, number>()
  /** By leaf, our clock minus the sender's when the quickest heartbeat of this epoch came. */
  readonly #leastOffset = new Map<number, number>()
  nextAt = Infinity

  /** max(5 s, 0.1 s a member). */
  get periodS(): number {
    return Math.max(PERIOD_S, PERIOD_PER_MEMBER_S * (1 + this.#confirmedAt.size))
  }

  /**
   * So long it cannot be silent around us: by then others would have been heard, or the server would have said that
   * they are away. Infinite when alone.
   */
  get silenceS(): number {
    return this.#confirmedAt.size ? (PERIODS_UNTIL_ISOLATED + 1) * this.periodS : Infinity
  }

  /** The leaves beside our own at a new epoch. A newcomer counts as confirmed when it comes. */
  setGroup(epoch: number, others: readonly number[], now: number): void {
    const periodBefore = this.periodS
    if (this.#epoch !== undefined) this.#wasCurrentUntil.set(this.#epoch, now)
    this.#epoch = epoch
    this.#leastOffset.clear()
    this.#confirmedAt = new Map(others.map((leaf) => [leaf, this.#confirmedAt.get(leaf) ?? now]))
    this.#wasCurrentUntil = new Map([...this.#wasCurrentUntil].filter(([, until]) => now - until < this.periodS))
    // Silence counts in periods: where many have gone, who was on time before is not late by the new one.
    const stretch = this.periodS / periodBefore
    for (const [leaf, at] of this.#confirmedAt) this.#confirmedAt.set(leaf, now - (now - at) * stretch)
    this.nextAt = this.nextAt === Infinity ? now : Math.min(this.nextAt, now + this.periodS)
  }

  /**
   * `leaf` says that it is in `epoch`, and said so at `sentS` of its own clock. Counts if that is our epoch, or was
   * until less than a period ago.
   */
  confirm(leaf: number, epoch: number, now: number, sentS: number): void {
    const known = this.#confirmedAt.get(leaf)
    if (known === undefined) return
    if (epoch === this.#epoch) {
      this.#confirmedAt.set(leaf, Math.max(known, this.#sentAt(leaf, now, sentS)))
    } else if (now - (this.#wasCurrentUntil.get(epoch) ?? -Infinity) < this.periodS) {
      this.#confirmedAt.set(leaf, now)
    }
  }

  /** When a heartbeat was sent, by our clock and at the latest. */
  #sentAt(leaf: number, now: number, sentS: number): number {
    const least = Math.min(this.#leastOffset.get(leaf) ?? Infinity, now - sentS)
    this.#leastOffset.set(leaf, least)
    return sentS + least
  }

  /** Whether to send one now; if so, the next is due a period later. The first is due at once. */
  isDue(now: number): boolean {
    if (now < this.nextAt) return false
    this.nextAt = now + this.periodS
    return this.#confirmedAt.size > 0
  }

  /** There is news: the next is due at once. */
  hasten(now: number): void {
    if (this.nextAt !== Infinity) this.nextAt = Math.min(this.nextAt, now)
  }

  /**
   * Whether those heard within three periods, and we ourselves, are no majority of the members. We count, so that one
   * of three who crashes does not silence the other two before it is removed.
   */
  isIsolated(now: number): boolean {
    const limit = now - PERIODS_UNTIL_ISOLATED * this.periodS
    const heard = 1 + [...this.#confirmedAt.values()].filter((at) => at >= limit).length
    return this.#confirmedAt.size > 0 && 2 * heard <= 1 + this.#confirmedAt.size
  }
}
