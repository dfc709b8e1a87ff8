/** When a member replaces its leaf's keys (DESIGN §4), and since when it has been kept from it. */

const PERIOD_S = 300
const PER_MEMBER_S = 10
const ASK_AGAIN_S = 10
const ASK_SOON_S = 1.5 // for who does not want to wait: a term that has just begun is over its first second by then
const STALE_S = 900 // a refresh that is so long past due is kept from us on purpose

/** Every max(5 min, 10 s a member), jittered, so that members take turns. */
export class Refresh {
  nextAt = Infinity
  /** Whether it was due for so long that the security code says little. */
  isStale = false
  readonly #chance: () => number
  #dueSince: number | undefined

  /** `chance` gives numbers from 0 to 1. */
  constructor(chance: () => number) {
    this.#chance = chance
  }

  /** Our leaf's keys are new. */
  schedule(members: number, now: number): void {
    this.reset()
    this.nextAt = now + Math.max(PERIOD_S, PER_MEMBER_S * members) * (0.8 + 0.4 * this.#chance())
  }

  /** Our leaf's keys are new, or we have none; nothing is due. */
  reset(): void {
    this.nextAt = Infinity
    this.#dueSince = undefined
    this.isStale = false
  }

  /** Somebody waits for it: ask again soon, once, if it is not granted now. */
  hasten(now: number): void {
    this.nextAt = now + ASK_SOON_S
  }

  /** Whether to ask for the lead now. */
  isDue(now: number): boolean {
    return now >= this.nextAt
  }

  /** We have; ask again in a while if it is not granted, or if the commit is lost. */
  asked(now: number): void {
    this.nextAt = now + ASK_AGAIN_S
    this.#dueSince ??= now
    this.isStale = now - this.#dueSince >= STALE_S
  }
}
