/**
 * When a member tells the others what it sends (docs/protocol.md, "What is sent"): at once when it is another, and
 * after every commit that adds somebody; never more often than the group bears. The twin of
 * conference/sending_news.py.
 */

import type { Told } from "./messages.ts"

/** Whether sound that is not silence, the camera's picture and a screen are sent. */
export type Sending = Omit<Told<"sending">, "type">

const APART_S = 0.5
const PER_MEMBER_S = 0.02

export class SendingNews {
  nextAt = Infinity
  readonly #chance: () => number
  #sending: Sending | undefined
  #members = 1
  #notBefore = -Infinity

  constructor(chance: () => number) {
    this.#chance = chance
  }

  /** We send this now. */
  set({ microphone, camera, screen }: Sending, now: number): void {
    const known = this.#sending
    if (known?.microphone === microphone && known.camera === camera && known.screen === screen) return
    this.#sending = { microphone, camera, screen }
    this.nextAt = Math.min(this.nextAt, Math.max(now, this.#notBefore))
  }

  /** So many are in the group. */
  setMembers(members: number): void {
    this.#members = members
  }

  /** Somebody may not have heard of it; perhaps many tell it at once. */
  tellAgain(now: number): void {
    if (this.#sending === undefined || this.nextAt !== Infinity) return
    this.nextAt = Math.max(now, this.#notBefore) + this.#chance() * PER_MEMBER_S * this.#members
  }

  /** What to tell now, if that is due. */
  take(now: number): Sending | undefined {
    if (now < this.nextAt) return undefined
    this.nextAt = Infinity
    this.#notBefore = now + Math.max(APART_S, PER_MEMBER_S * this.#members)
    return this.#members > 1 ? this.#sending : undefined
  }
}
