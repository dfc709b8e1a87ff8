/** How the keys went from epoch to epoch, as it was seen from here, and how long each step took. */

import type { Event } from "../conference/events.ts"
import type { Person } from "../conference/roster.ts"
import type { EpochLine } from "./scene.ts"

const MAX_LINES = 1000
const UNSWITCHED = 8 // so many of the newest epochs may still be waited for by what we send

export type EpochEvent = Extract<Event, { type: "epoch changed" }>

export class Timeline {
  /** The newest first. */
  lines: readonly EpochLine[] = []
  isRotating = false
  /** When we last wished to come in, or to rotate. */
  #askedAt = performance.now()

  /** The user wants new keys. */
  askForRotation(): void {
    this.isRotating = true
    this.#askedAt = performance.now()
  }

  /** The group is at a new epoch. */
  enter(
    { epoch, joined, left, returned, committer, hasNewRules }: EpochEvent,
    generation: number,
    ownLeaf: number | undefined,
    nameOf: (person: Person) => string,
  ): void {
    const isOwn = committer !== undefined && committer.leaf === ownLeaf
    const onlyAdds = joined.length > 0 && left.length + returned.length === 0 // and so renews nobody's keys
    const isOwnRotation = isOwn && this.isRotating && !onlyAdds
    if (isOwnRotation || committer === undefined) this.isRotating = false // whoever comes anew has a fresh leaf
    const line: EpochLine = {
      generation,
      epoch,
      at: Date.now(),
      joined: joined.map(nameOf),
      left: left.map(nameOf),
      returned: returned.map(nameOf),
      committer: committer && nameOf(committer),
      isOwn,
      hasNewRules,
      switchedAfterMs: undefined,
      tookMs: isOwnRotation || committer === undefined ? performance.now() - this.#askedAt : undefined,
    }
    this.lines = [line, ...this.lines].slice(0, MAX_LINES)
  }

  /** The newest epoch is the first of another group. */
  setGeneration(generation: number): void {
    this.lines = this.lines.map((line, at) => (at === 0 ? { ...line, generation } : line))
  }

  /** What we send is sealed with this epoch's keys from now on. */
  switched(epoch: number): void {
    const now = Date.now()
    this.lines = this.lines.map((line, at) =>
      at < UNSWITCHED && line.epoch === epoch && line.switchedAfterMs === undefined
        ? { ...line, switchedAfterMs: now - line.at }
        : line,
    )
  }
}
