/** How long one waits at the door: when to say that nobody answers, to try again, to give up (DESIGN §5). */

const PATIENCE_S = 15
const RETRIES = 3 // of who has a lasting key, for longer than a grace lasts
const RETRY_S = 5
const MAX_SETBACKS = 5 // who loses its place more often than that in SETBACK_S gives up
const SETBACK_S = 60

export class Patience {
  #retriesLeft: number
  #setbacks: readonly number[] = []
  #retryAt = Infinity
  /** When it is to be said that nobody answers our knock. */
  #answerDueAt = Infinity

  /** `hasLastingKey`: our leaf from before a crash may still be there, and goes before long. */
  constructor(hasLastingKey: boolean) {
    this.#retriesLeft = hasLastingKey ? RETRIES : 0
  }

  /** When something is up next; infinite if never. */
  nextTimer(): number {
    return Math.min(this.#answerDueAt, this.#retryAt)
  }

  /** Somebody should answer. */
  knocked(now: number): void {
    this.#answerDueAt = now + PATIENCE_S
  }

  /** A host decides, who may take its time. */
  held(): void {
    this.#answerDueAt = Infinity
  }

  /** Whether to say now that nobody answers; once for a knock. */
  isUp(now: number): boolean {
    const isUp = now >= this.#answerDueAt
    if (isUp) this.#answerDueAt = Infinity
    return isUp
  }

  /** We were turned away, but may not be in a while: knock again then. False if it was tried enough. */
  mayRetry(now: number): boolean {
    if (this.#retriesLeft === 0) return false
    this.#retriesLeft--
    this.#retryAt = now + RETRY_S
    this.#answerDueAt = Infinity
    return true
  }

  /** Whether to knock again now; once. */
  isRetryDue(now: number): boolean {
    const isDue = now >= this.#retryAt
    if (isDue) this.#retryAt = Infinity
    return isDue
  }

  /** We have lost our place. Whoever causes too many of that is not to be outwaited: false then. */
  endures(now: number): boolean {
    this.#setbacks = [...this.#setbacks.filter((at) => now - at < SETBACK_S), now]
    return this.#setbacks.length <= MAX_SETBACKS
  }
}
