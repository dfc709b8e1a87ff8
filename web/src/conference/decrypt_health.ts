/**
 * Decrypt health (DESIGN §9): whom we cannot decrypt, since when and why; which streams the server misnames.
 *
 * Judged by slot, for a sender whose sound opens may still have a picture that does not. Whose frames those are that
 * do not open, only the server says.
 */

import type { Reason } from "./messages.ts"
import type { Counts, Misnamed, ReceivePath } from "./receive_path.ts"

const FAILING_AFTER_S = 2 // longer than a frame waits for its key
const SILENT_AFTER_S = 5
const MISNAMED_AFTER_S = 1

/** The longest trouble with one participant. */
export interface Failing {
  readonly owner: string
  readonly reason: Reason
  readonly sinceS: number
}

interface Announced {
  readonly owner: string
  readonly kidContext: number
  readonly since: number
}

export class DecryptHealth {
  readonly #path: ReceivePath
  readonly #announced = new Map<string, Announced>()
  readonly #told = new Set<string>()

  constructor(path: ReceivePath) {
    this.#path = path
  }

  /** The server says whose stream is in a slot. */
  announce(mid: string, owner: string | null, kidContext: number | null, now: number): void {
    const known = this.#announced.get(mid)
    if (owner === null || kidContext === null) this.#announced.delete(mid)
    else if (known?.owner !== owner || known.kidContext !== kidContext) {
      this.#announced.set(mid, { owner, kidContext, since: now })
    }
  }

  /** Forget the slots of a connection that is gone. */
  forget(): void {
    this.#announced.clear()
  }

  /** The longest trouble with each participant whom we cannot decrypt. */
  troubles(now: number): Failing[] {
    const slots = this.#path.slots()
    const found = new Map<string, Failing>()
    for (const [mid, { owner, since }] of this.#announced) {
      const trouble = troubleOf(since, slots.get(mid), now)
      if (trouble === undefined) continue
      const sinceS = Math.floor(now - trouble.since)
      if (sinceS > (found.get(owner)?.sinceS ?? -1)) found.set(owner, { owner, reason: trouble.reason, sinceS })
    }
    return [...found.values()]
  }

  /** Streams that the server goes on announcing as somebody else's; for each sender once. */
  newlyMisnamed(now: number): Misnamed[] {
    const slots = this.#path.slots()
    return this.#path.misnamed(now).filter(({ mid, actual, since }) => {
      // A slot that was emptied or given to the next shows its last stream until a frame comes.
      const goesOn = (slots.get(mid)?.openedAt ?? -Infinity) >= since + MISNAMED_AFTER_S
      if (!goesOn || this.#told.has(actual.owner)) return false
      this.#told.add(actual.owner)
      return true
    })
  }
}

/** Why and since when nothing in the slot opens; what happened before the announcement does not count. */
function troubleOf(announcedAt: number, counts: Counts | undefined, now: number): { reason: Reason; since: number } | undefined {
  if (counts?.failingSince !== undefined) {
    const since = Math.max(announcedAt, counts.failingSince)
    const reason = counts.failingFor === "unknown key" ? "no key" : "bad tag"
    return now - since >= FAILING_AFTER_S ? { reason, since } : undefined
  }
  const since = Math.max(announcedAt, counts?.openedAt ?? announcedAt)
  return now - since >= SILENT_AFTER_S ? { reason: "nothing received", since } : undefined
}
