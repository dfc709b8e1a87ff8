/** Who waits at the door, and what the hosts have decided about them (docs/protocol.md, "Passes"). */

import { encodeBase64url, equal } from "../bytes.ts"
import type { Told } from "./messages.ts"
import type { Admission } from "./passes.ts"
import type { Policy } from "./policy.ts"
import { isSamePerson, type Person } from "./roster.ts"
import type { Newcomer } from "./rules.ts"

const MAX_WAITING = 1024
const MAX_DECISIONS = 4096

type Decision = Told<"decision">

/** Every member keeps the decisions, for any may have to commit them; a host, also who waits for one. */
export class Lobby {
  readonly #waiting = new Map<string, Newcomer>()
  /** By reference. */
  readonly #decisions = new Map<string, Decision>()

  /** Those about whom a host is to decide, in the order in which they came. */
  get waiting(): Person[] {
    return [...this.#waiting.values()].map(({ person }) => person)
  }

  /** Somebody knocks. False if it waits already, or too many do. */
  ask(newcomer: Newcomer): boolean {
    const who = newcomer.person.participantId
    const known = this.#waiting.get(who)
    const isKnown =
      known !== undefined && isSamePerson(known.person, newcomer.person) && equal(known.reference, newcomer.reference)
    if (isKnown || (known === undefined && this.#waiting.size >= MAX_WAITING)) return false
    this.#waiting.set(who, newcomer)
    return true
  }

  /** Who waits under this participant id. */
  who(participantId: string): Newcomer | undefined {
    return this.#waiting.get(participantId)
  }

  /** What a host has decided, and signed. A refusal stays one, whoever repeats what was said before. */
  decide(decision: Decision): void {
    const reference = encodeBase64url(decision.reference)
    const before = this.#decisions.get(reference)
    this.#decisions.delete(reference)
    this.#decisions.set(reference, before?.admitted === false ? before : decision)
    if (this.#decisions.size > MAX_DECISIONS) {
      const [oldest] = this.#decisions.keys()
      this.#decisions.delete(oldest!)
    }
    const newcomer = this.#waiting.get(decision.participant_id)
    if (newcomer !== undefined && equal(newcomer.reference, decision.reference)) {
      this.#waiting.delete(decision.participant_id)
    }
  }

  /** What was decided about this KeyPackage by one who is a host under `policy`. */
  decision(reference: Uint8Array, policy: Policy, linkHost: Uint8Array): Decision | undefined {
    const decision = this.#decisions.get(encodeBase64url(reference))
    return decision !== undefined && policy.hasHost(decision.host, linkHost) ? decision : undefined
  }

  /** They are in, or have gone. False if none of them was waiting. */
  forget(participantIds: readonly string[]): boolean {
    return participantIds.filter((each) => this.#waiting.delete(each)).length > 0
  }

  /** Another group: what was decided was about the one before. */
  reset(): void {
    this.#waiting.clear()
    this.#decisions.clear()
  }
}

/** The pass that a decision to admit is. */
export function admissionOf(decision: Decision): Admission {
  return { ground: "host", host: decision.host, signature: decision.signature }
}
