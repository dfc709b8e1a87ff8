/**
 * When a member tells the others what it says of itself (docs/protocol.md, "Claims"): at once when it is another, and
 * after every commit that adds somebody; never more often than the group bears. The twin of conference/claim_news.py.
 */

import type { Told } from "./messages.ts"

/** Whether sound that is not silence, the camera's picture and a screen are sent, and whether the own key lasts. */
export type Claim = Omit<Told<"claim">, "type">
export type Sending = Omit<Claim, "lasting_key">

export function isSameClaim(one: Claim, other: Claim | undefined): boolean {
  return (
    one.microphone === other?.microphone &&
    one.camera === other.camera &&
    one.screen === other.screen &&
    one.lasting_key === other.lasting_key
  )
}

const APART_S = 0.5
const PER_MEMBER_S = 0.02

export class ClaimNews {
  nextAt = Infinity
  readonly #chance: () => number
  #claim: Claim | undefined
  #members = 1
  #notBefore = -Infinity

  constructor(chance: () => number) {
    this.#chance = chance
  }

  /** This is so now. */
  set(claim: Claim, now: number): void {
    if (isSameClaim(claim, this.#claim)) return
    this.#claim = claim
    this.nextAt = Math.min(this.nextAt, Math.max(now, this.#notBefore))
  }

  /** So many are in the group. */
  setMembers(members: number): void {
    this.#members = members
  }

  /** Somebody may not have heard of it; perhaps many tell it at once. */
  tellAgain(now: number): void {
    if (this.#claim === undefined || this.nextAt !== Infinity) return
    this.nextAt = Math.max(now, this.#notBefore) + this.#chance() * PER_MEMBER_S * this.#members
  }

  /** What to tell now, if that is due. */
  take(now: number): Claim | undefined {
    if (now < this.nextAt) return undefined
    this.nextAt = Infinity
    this.#notBefore = now + Math.max(APART_S, PER_MEMBER_S * this.#members)
    return this.#members > 1 ? this.#claim : undefined
  }
}
