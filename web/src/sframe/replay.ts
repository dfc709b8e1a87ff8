/**
 * A replay window (RFC 9605 §9.3, after RFC 3711 §3.3.2): which counters of one key have been accepted.
 *
 * A bit mask over the WINDOW counters up to the highest accepted one; bit 0 is the highest itself. What lies behind
 * the window is refused, for nobody remembers whether it came before.
 */

const WINDOW = 256n // counters; at 50 audio frames a second five seconds, well above any reordering that plays
const MASK = (1n << WINDOW) - 1n

/** Asks first, accepts later: between the two stands the authentication of the frame. */
export class ReplayWindow {
  #highest = -1n
  #seen = 0n

  /** Whether a frame with this counter may still be accepted. Changes nothing. */
  isFresh(ctr: bigint): boolean {
    const behind = this.#highest - ctr
    return behind < 0n || (behind < WINDOW && ((this.#seen >> behind) & 1n) === 0n)
  }

  /** Marks a fresh counter whose frame has been authenticated as seen. */
  accept(ctr: bigint): void {
    const ahead = ctr - this.#highest
    if (ahead > 0n) {
      // The counter is the peer's: without this test, a jump of 2^63 would be a shift by as much.
      this.#seen = ahead < WINDOW ? ((this.#seen << ahead) | 1n) & MASK : 1n
      this.#highest = ctr
    } else {
      this.#seen |= 1n << -ahead
    }
  }
}
