/** Which policy is in force, and what the hosts have announced beyond it (docs/protocol.md, "Policy"). */

import { encodeBase64url, equal, type Octets } from "../bytes.ts"
import { PolicyError } from "./errors.ts"
import { hostHash, type LinkKeys, type MeetingLink } from "./link.ts"
import { Policy, signerOf, verifyPolicy } from "./policy.ts"

const MAX_ANNOUNCED = 8

interface Announced {
  readonly policy: Policy
  readonly signed: Octets
}

/** The policies that a member knows, and the link that goes with the one in force. */
export class Policies {
  inForce: Policy
  /** `inForce` as the host signed it; empty for version 0. */
  signed: Octets = new Uint8Array()
  link: MeetingLink
  keys: LinkKeys
  /** By binding. */
  #announced = new Map<string, Announced>()

  constructor(link: MeetingLink, keys: LinkKeys) {
    this.inForce = Policy.none(link.meetingId)
    this.link = link
    this.keys = keys
  }

  /** The policy in `signed`, for who joins. PolicyError if it is none of this meeting's hosts'. */
  async verify(signed: Octets): Promise<Policy> {
    const policy = await verifyPolicy(signed, Policy.none(this.link.meetingId), this.link.host)
    if (this.#changesLink(policy)) throw new PolicyError("The host has changed the meeting link since: ask for the new one.")
    return policy
  }

  /**
   * A policy of a host's that a commit may bind from now on. PolicyError if it may not follow.
   *
   * Whoever heard of two in the other order must come to the same: any that is newer than the one in force is taken.
   */
  async announce(signed: Octets): Promise<void> {
    if (equal(signed, this.signed)) return
    const policy = await verifyPolicy(signed, this.inForce, this.link.host)
    this.#announced.set(encodeBase64url(policy.binding), { policy, signed })
    if (this.#announced.size > MAX_ANNOUNCED) {
      const [least] = this.#byRank()
      this.#announced.delete(encodeBase64url(least!.policy.binding))
    }
  }

  /** The policy that our own next commit binds, and that policy as signed. */
  get newest(): Announced {
    return this.#byRank().at(-1) ?? { policy: this.inForce, signed: this.signed }
  }

  /** Those that a commit may have been made under; first the one in force. */
  lawful(): readonly Policy[] {
    return [this.inForce, ...[...this.#announced.values()].map(({ policy }) => policy)]
  }

  /** The keys of the link that a commit under this policy goes by. */
  keysOf(policy: Policy): LinkKeys {
    return this.#changesLink(policy) ? this.keys.of(this.linkOf(policy)) : this.keys
  }

  /** The link of whoever joins under this policy. */
  linkOf(policy: Policy): MeetingLink {
    const secret = policy.document.link_secret
    return secret !== null && this.#changesLink(policy) ? this.link.changed(secret) : this.link
  }

  #changesLink({ document: { link_secret: secret } }: Policy): boolean {
    return secret !== null && !this.link.hasSecret(secret)
  }

  /** A commit was made under one of the lawful ones: it is in force, and no earlier one can be. */
  async enforce(policy: Policy): Promise<void> {
    const binding = encodeBase64url(policy.binding)
    const announced = this.#announced.get(binding)
    if (announced === undefined) return
    const keys = this.keysOf(policy)
    this.link = this.linkOf(policy)
    this.keys = keys
    this.inForce = policy
    this.signed = announced.signed
    const rest = [...this.#announced.values()].filter((each) => each !== announced)
    this.#announced.clear()
    for (const { signed } of rest) {
      try {
        await this.announce(signed)
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error // it may not follow this one
      }
    }
  }

  /** The policy of the Welcome by which we came in. */
  joinUnder(policy: Policy, signed: Octets): void {
    this.inForce = policy
    this.signed = signed
    this.#announced.clear()
  }

  /**
   * The link's host goes before those that it named, whom else it could not get rid of. A host that signs two
   * documents under one version gets the same one of them everywhere.
   */
  #byRank(): Announced[] {
    const isLinksHosts = ({ signed }: Announced) => (equal(hostHash(signerOf(signed)), this.link.host) ? 1 : 0)
    return [...this.#announced.values()].sort(
      (one, other) =>
        isLinksHosts(one) - isLinksHosts(other) ||
        one.policy.version - other.policy.version ||
        compare(one.policy.binding, other.policy.binding),
    )
  }
}

function compare(one: Uint8Array, other: Uint8Array): number {
  const at = one.findIndex((octet, index) => octet !== other[index])
  return at < 0 ? 0 : one[at]! - other[at]!
}
