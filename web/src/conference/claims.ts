/**
 * What members say that they send (docs/protocol.md, "What is sent"), held against what arrives: a claim shows at
 * once what would else be known after seconds of nothing, and hides nothing, for what arrives after it counts for
 * more. The twin of conference/claims.py.
 */

import { AUDIO, CAMERA } from "./frames.ts"
import type { Sending } from "./sending_news.ts"

const LIVE_S = 3 // without sound for so long, nobody is heard
const UNDER_WAY_S = 1 // what was sent before the claim may come so much later than it

interface Claim {
  readonly sending: Sending
  readonly at: number
}

/** By participant id, what each has said last. Times are in seconds of one clock that never goes back. */
export class Claims {
  readonly #claims = new Map<string, Claim>()

  /** Somebody says what it sends. */
  take(participantId: string, sending: Sending, now: number): void {
    const known = this.#claims.get(participantId)?.sending
    const { microphone, camera, screen } = sending
    const isNews = known?.microphone !== microphone || known.camera !== camera || known.screen !== screen
    if (isNews) this.#claims.set(participantId, { sending, at: now }) // or repeating it would renew its grace
  }

  /** Only these are here. */
  keepOnly(present: ReadonlySet<string>): void {
    for (const participantId of this.#claims.keys()) {
      if (!present.has(participantId)) this.#claims.delete(participantId)
    }
  }

  of(participantId: string): Sending | undefined {
    return this.#claims.get(participantId)?.sending
  }

  /** Whether it says so, and nothing is heard; `heardAt` is when there was more than silence. */
  isMuted(participantId: string, heardAt: number | undefined, now: number): boolean {
    const claim = this.#claims.get(participantId)
    if (claim === undefined || claim.sending.microphone) return false
    return !isBelied(claim, heardAt) || now - heardAt! >= LIVE_S
  }

  /** Whether it says that a stream has ended, whose last frame was opened then. */
  hasEnded(participantId: string, kidContext: number, openedAt: number | undefined): boolean {
    const claim = this.#claims.get(participantId)
    if (claim === undefined) return false
    const { microphone, camera, screen } = claim.sending
    const isOn = kidContext === AUDIO ? microphone : kidContext === CAMERA ? camera : screen
    return !isOn && !isBelied(claim, openedAt)
  }
}

/** Whether something came that was sent after the claim. */
function isBelied({ at }: Claim, cameAt: number | undefined): boolean {
  return cameAt !== undefined && cameAt > at + UNDER_WAY_S
}
