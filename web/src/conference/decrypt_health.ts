/**
 * Decrypt health (DESIGN §9): whom we cannot decrypt, since when and why; which streams the server misnames.
 *
 * Judged by slot, for a sender whose sound opens may still have a picture that does not. Whose frames those are that
 * do not open, only the server says; where what opens is another's than it says, that is what is told.
 */

import { epochBits } from "../sframe/epochs.ts"
import type { Reason } from "./messages.ts"
import { type Counts, type Dropped, MAX_SLOTS, type Misnamed, type ReceivePath, type TileKey } from "./receive_path.ts"

const FAILING_AFTER_S = 2 // longer than a frame waits for its key
const SILENT_AFTER_S = 5
const MISNAMED_AFTER_S = 1
const EPOCHS_IN_KID = 256

/** The trouble with one stream. */
export interface Failing extends TileKey {
  readonly reason: Reason
  /** Of a missing key. */
  readonly epoch: number | null
  readonly sinceS: number
}

interface Announced extends TileKey {
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
    else if (known === undefined && this.#announced.size >= MAX_SLOTS) return
    else if (known?.owner !== owner || known.kidContext !== kidContext) {
      this.#announced.set(mid, { owner, kidContext, since: now })
    }
  }

  /** Forget the slots of a connection that is gone. */
  forget(): void {
    this.#announced.clear()
  }

  /** The trouble with each stream that is not well; we are in `epoch`. */
  troubles(epoch: number, now: number): Failing[] {
    const slots = this.#path.slots()
    const misnamed = new Map(this.#misnamed(now).map(({ mid, since }) => [mid, since]))
    const found = new Map<string, Failing>()
    for (const [mid, { owner, kidContext, since: announcedAt }] of this.#announced) {
      const counts = slots.get(mid)
      const misnamedSince = misnamed.get(mid)
      const judged: Judgement | undefined =
        misnamedSince === undefined
          ? judge(announcedAt, counts, now)
          : { reason: "wrong sender", since: Math.max(misnamedSince, announcedAt) }
      if (judged === undefined) continue
      const kid = judged.reason === "no key" ? counts?.unknownKid : undefined
      const sinceS = Math.floor(now - judged.since)
      const key = `${owner}/${kidContext}`
      if (sinceS <= (found.get(key)?.sinceS ?? -1)) continue
      const ofEpoch = kid === undefined ? null : nearestEpoch(kid, epoch)
      found.set(key, { owner, kidContext, reason: judged.reason, epoch: ofEpoch, sinceS })
    }
    return [...found.keys()].sort().map((key) => found.get(key)!)
  }

  /** Streams that the server goes on announcing as somebody else's; for each sender once. */
  newlyMisnamed(now: number): Misnamed[] {
    return this.#misnamed(now).filter(({ actual }) => {
      const isNews = !this.#told.has(actual.owner)
      this.#told.add(actual.owner)
      return isNews
    })
  }

  /** A slot that was emptied or given to the next shows its last stream until a frame comes. */
  #misnamed(now: number): Misnamed[] {
    const slots = this.#path.slots()
    return this.#path.misnamed(now).filter(({ mid, since }) => {
      const openedAt = slots.get(mid)?.openedAt ?? -Infinity
      return openedAt >= since + MISNAMED_AFTER_S && now - openedAt < FAILING_AFTER_S
    })
  }
}

/** The epoch of a KID, which has its lowest eight bits, nearest to the one that we are in. */
export function nearestEpoch(kid: bigint, epoch: number): number {
  const ahead = epochBits(BigInt(epochBits(kid)) - BigInt(epoch))
  const behind = epoch - (EPOCHS_IN_KID - ahead)
  return ahead > EPOCHS_IN_KID / 2 && behind >= 0 ? behind : epoch + ahead
}

interface Judgement {
  readonly reason: Reason
  readonly since: number
}

const REASONS: Partial<Record<Dropped, Reason>> = {
  "unknown key": "no key",
  "no such sender": "wrong sender",
  "own frame": "wrong sender",
}

/** Why and since when nothing in the slot opens; what happened before the announcement does not count. */
function judge(announcedAt: number, counts: Counts | undefined, now: number): Judgement | undefined {
  if (counts?.failingSince !== undefined && counts.failingFor !== undefined) {
    const since = Math.max(announcedAt, counts.failingSince)
    // What else is dropped could not be authenticated, or is not what it must be.
    return now - since >= FAILING_AFTER_S ? { reason: REASONS[counts.failingFor] ?? "bad tag", since } : undefined
  }
  const since = Math.max(announcedAt, counts?.openedAt ?? announcedAt)
  if (now - since < SILENT_AFTER_S) return undefined
  const areReplays = (counts?.replayedAt ?? -Infinity) > since
  return { reason: areReplays ? "replayed" : "nothing received", since }
}
