/**
 * What members say of themselves (docs/protocol.md, "Claims"), held against what arrives: a claim to send or not shows at
 * once what would else be known after seconds of nothing, and hides nothing, for what arrives after it counts for
 * more. That a key does not last is believed: only its holder can know, and say so. The twin of conference/claims.py.
 */

import { encodeBase64url } from "../bytes.ts"
import { type Claim, isSameClaim } from "./claim_news.ts"
import { AUDIO, CAMERA } from "./frames.ts"
import type { Person } from "./roster.ts"

const LIVE_S = 3 // without sound for so long, nobody is heard
const UNDER_WAY_S = 1 // what was sent before the claim may come so much later than it
const MAX_FLEETING = 4096 // who left is kept too, for a comparison outlasts that

interface Claimed {
  readonly claim: Claim
  readonly at: number
}

type Speaker = Pick<Person, "participantId" | "signatureKey">

/** By participant id, what each has said last. Times are in seconds of one clock that never goes back. */
export class Claims {
  readonly #claims = new Map<string, Claimed>()
  /** The signature keys whose holders say that they do not last, in the order of being heard. */
  readonly #fleeting = new Set<string>()

  /** Somebody says something of itself. */
  take({ participantId, signatureKey }: Speaker, claim: Claim, now: number): void {
    if (isSameClaim(claim, this.of(participantId))) return // or repeating it would renew its grace
    this.#claims.set(participantId, { claim, at: now })
    const key = encodeBase64url(signatureKey)
    this.#fleeting.delete(key)
    if (!claim.lasting_key) this.#fleeting.add(key)
    const [oldest] = this.#fleeting
    if (this.#fleeting.size > MAX_FLEETING) this.#fleeting.delete(oldest!)
  }

  /**
   * Whether its key may be met again: a certificate is for longer, and else only itself can deny it. Who has said
   * nothing counts as lasting. A false alarm in the next meeting is the smaller harm: were silence enough, the server
   * could keep anybody from being remembered, by losing one message.
   */
  isLasting({ signatureKey, certificates }: Pick<Person, "signatureKey" | "certificates">): boolean {
    return certificates.length > 0 || !this.#fleeting.has(encodeBase64url(signatureKey))
  }

  /** Only these are here. */
  keepOnly(present: ReadonlySet<string>): void {
    for (const participantId of this.#claims.keys()) {
      if (!present.has(participantId)) this.#claims.delete(participantId)
    }
  }

  of(participantId: string): Claim | undefined {
    return this.#claims.get(participantId)?.claim
  }

  /** Whether it says so, and nothing is heard; `heardAt` is when there was more than silence. */
  isMuted(participantId: string, heardAt: number | undefined, now: number): boolean {
    const claimed = this.#claims.get(participantId)
    if (claimed === undefined || claimed.claim.microphone) return false
    return !isBelied(claimed, heardAt) || now - heardAt! >= LIVE_S
  }

  /** Whether it says that a stream has ended, whose last frame was opened then. */
  hasEnded(participantId: string, kidContext: number, openedAt: number | undefined): boolean {
    const claimed = this.#claims.get(participantId)
    if (claimed === undefined) return false
    const { microphone, camera, screen } = claimed.claim
    const isOn = kidContext === AUDIO ? microphone : kidContext === CAMERA ? camera : screen
    return !isOn && !isBelied(claimed, openedAt)
  }
}

/** Whether something came that was sent after the claim. */
function isBelied({ at }: Claimed, cameAt: number | undefined): boolean {
  return cameAt !== undefined && cameAt > at + UNDER_WAY_S
}
