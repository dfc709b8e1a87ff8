/**
 * The host-signed policy of a meeting (docs/protocol.md, "Policy").
 *
 * Version 0 is no document at all: what the link says holds, and nothing else. Every commit carries the version
 * and hash that it was made under in its `authenticated_data`, so both enter the transcript and the keys.
 */

import { sha256 } from "@noble/hashes/sha2.js"
import { concat, encodeBase64url, equal, fromUtf8, type Octets, own, uint32, utf8 } from "../bytes.ts"
import { flag, identifier, integer, listOf, octetString, struct, type TypeOf } from "../signaling/kinds.ts"
import { MisuseError, PolicyError } from "./errors.ts"
import { hostHash } from "./link.ts"

const KEY_SIZE = 32
const HEAD_SIZE = KEY_SIZE + 64
export const MAX_SIGNED = 16 * 1024
const count = integer(2 ** 32 - 1)
const LABEL = utf8("Conclave 1.0 policy\0")
const PSK_LABEL = utf8("Conclave 1.0 link psk")
const BINDING_VERSION = 1

// In the order in which the document has its fields.
const form = struct({
  barred: listOf(octetString(KEY_SIZE, KEY_SIZE), 256),
  link_generation: count,
  locked: flag,
  meeting_id: identifier,
  version: count,
})

type Document = TypeOf<typeof form>

/** What a meeting allows beyond its link. */
export class Policy {
  readonly document: Document
  /** The document as it stands; empty for version 0. */
  readonly #encoded: Octets
  /** What a commit made under this policy carries as `authenticated_data` (37 octets). */
  readonly binding: Octets
  /**
   * The id under which the link's PSK stands in a commit that adds anybody under this policy. It names the policy
   * too, so that a Welcome leads nowhere for who was told another one.
   */
  readonly pskId: Octets

  constructor(document: Document) {
    this.document = document
    this.#encoded = document.version === 0 ? new Uint8Array() : utf8(JSON.stringify(form.encode(document)))
    this.binding = concat(Uint8Array.of(BINDING_VERSION), uint32(document.version), sha256(this.#encoded))
    this.pskId = concat(PSK_LABEL, uint32(document.link_generation), this.binding)
  }

  /** Version 0: what a meeting begins with. */
  static none(meetingId: string): Policy {
    return new Policy({ barred: [], link_generation: 0, locked: false, meeting_id: meetingId, version: 0 })
  }

  /** The policy that `document` spells. PolicyError unless it is exactly what `encode` gives for it. */
  static decode(document: Uint8Array): Policy {
    if (document.length > MAX_SIGNED) {
      throw new PolicyError(`A policy has less than ${MAX_SIGNED} octets; this one has ${document.length}.`)
    }
    let policy: Policy
    try {
      policy = new Policy(form.decode(JSON.parse(fromUtf8(document) ?? "")))
    } catch {
      throw new PolicyError("The policy is not a document of the declared form.")
    }
    // The parser forgives much that only one of all spellings can have: blanks, order, duplicate names.
    if (policy.version === 0 || !equal(policy.#encoded, document)) {
      throw new PolicyError("The policy is not in its canonical form, or has version 0.")
    }
    return policy
  }

  get version(): number {
    return this.document.version
  }

  get isLocked(): boolean {
    return this.document.locked
  }

  get meetingId(): string {
    return this.document.meeting_id
  }

  get linkGeneration(): number {
    return this.document.link_generation
  }

  bars(signatureKey: Uint8Array): boolean {
    return this.document.barred.some((barred) => equal(barred, signatureKey))
  }

  equals(other: Policy): boolean {
    return equal(this.binding, other.binding)
  }

  /** Whether a commit with this `authenticated_data` was made under this policy. */
  isBoundBy(authenticatedData: Uint8Array): boolean {
    return equal(this.binding, authenticatedData)
  }

  /** Host's public key (32) ‖ signature (64) ‖ document. MisuseError for version 0. */
  async sign(hostKey: CryptoKeyPair): Promise<Octets> {
    if (this.version === 0) {
      throw new MisuseError("Version 0 is the absence of a policy; a policy begins with version 1.")
    }
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", hostKey.publicKey))
    const signature = await crypto.subtle.sign("Ed25519", hostKey.privateKey, concat(LABEL, this.#encoded))
    return concat(publicKey, new Uint8Array(signature), this.#encoded)
  }
}

/**
 * The policy in `signed`, checked to be a lawful successor of `current`; whoever joins passes version 0.
 *
 * PolicyError if its signer is not the host that the link names (`linkHost`, 16 octets), the signature is wrong, or
 * it belongs to another meeting or is no newer.
 */
export async function verifyPolicy(signed: Uint8Array, current: Policy, linkHost: Uint8Array): Promise<Policy> {
  if (signed.length <= HEAD_SIZE || signed.length > MAX_SIGNED) {
    throw new PolicyError(
      `A signed policy has more than ${HEAD_SIZE} and at most ${MAX_SIGNED} octets, not ${signed.length}.`,
    )
  }
  const signer = own(signed.subarray(0, KEY_SIZE))
  const signature = own(signed.subarray(KEY_SIZE, HEAD_SIZE))
  const document = own(signed.subarray(HEAD_SIZE))
  if (!equal(hostHash(signer), linkHost)) {
    throw new PolicyError("The policy is signed by somebody who is not the host of this meeting.")
  }
  if (!(await isSignedBy(signer, signature, concat(LABEL, document)))) {
    throw new PolicyError("The policy's signature is wrong.")
  }
  const policy = Policy.decode(document)
  if (policy.meetingId !== current.meetingId) throw new PolicyError("The policy belongs to another meeting.")
  if (policy.version <= current.version) {
    throw new PolicyError(`The policy has version ${policy.version}, but ${current.version} is in force.`)
  }
  if (policy.linkGeneration < current.linkGeneration) {
    throw new PolicyError("The policy would bring an old link back.")
  }
  return policy
}

async function isSignedBy(signer: Octets, signature: Octets, text: Octets): Promise<boolean> {
  try {
    const key = await crypto.subtle.importKey("raw", signer, "Ed25519", true, ["verify"])
    return await crypto.subtle.verify("Ed25519", key, signature, text)
  } catch {
    return false
  }
}

const MAX_ANNOUNCED = 8

/** Which policy is in force, and what the host has announced beyond it. */
export class Policies {
  inForce: Policy
  /** `inForce` as the host signed it; empty for version 0. */
  signed: Octets = new Uint8Array()
  readonly #linkHost: Octets
  /** By binding. */
  #announced = new Map<string, { readonly policy: Policy; readonly signed: Octets }>()

  constructor(meetingId: string, linkHost: Octets) {
    this.inForce = Policy.none(meetingId)
    this.#linkHost = linkHost
  }

  /** The policy in `signed`, for who joins. PolicyError if it is none of this meeting's host's. */
  async verify(signed: Uint8Array): Promise<Policy> {
    const policy = await verifyPolicy(signed, Policy.none(this.inForce.meetingId), this.#linkHost)
    if (policy.linkGeneration) {
      throw new PolicyError("It changes the meeting link, which this version of Conclave cannot.")
    }
    return policy
  }

  /**
   * A policy of the host's that a commit may bind from now on. PolicyError if it may not follow.
   *
   * Whoever heard of two in the other order must come to the same: any that is newer than the one in force is
   * taken.
   */
  async announce(signed: Octets): Promise<void> {
    const policy = await this.verify(signed)
    if (policy.equals(this.inForce)) return
    if (policy.version <= this.inForce.version) {
      throw new PolicyError(`It has version ${policy.version}, but ${this.inForce.version} is in force.`)
    }
    this.#announced.set(encodeBase64url(policy.binding), { policy, signed })
    if (this.#announced.size > MAX_ANNOUNCED) {
      const [oldest] = this.#byAge()
      this.#announced.delete(encodeBase64url(oldest!.policy.binding))
    }
  }

  /** The policy that our own next commit binds, and that policy as signed. */
  get newest(): { readonly policy: Policy; readonly signed: Octets } {
    return this.#byAge().at(-1) ?? { policy: this.inForce, signed: this.signed }
  }

  /** Those that a commit may have been made under. */
  lawful(): readonly Policy[] {
    return [this.inForce, ...this.#byAge().map(({ policy }) => policy)]
  }

  /** A commit was made under one of the lawful ones: it is in force, and no earlier one can be. */
  enforce(policy: Policy): void {
    const announced = this.#announced.get(encodeBase64url(policy.binding))
    if (announced !== undefined) {
      this.inForce = policy
      this.signed = announced.signed
    }
    for (const [binding, each] of this.#announced) {
      if (each.policy.version <= policy.version) this.#announced.delete(binding)
    }
  }

  /** The policy of the Welcome by which we came in. */
  joinUnder(policy: Policy, signed: Octets): void {
    this.inForce = policy
    this.signed = signed
    this.#announced.clear()
  }

  /** A host that signs two documents under one version gets the same one of them everywhere. */
  #byAge() {
    return [...this.#announced.values()].sort(
      (one, other) =>
        one.policy.version - other.policy.version || compare(one.policy.binding, other.policy.binding),
    )
  }
}

function compare(one: Uint8Array, other: Uint8Array): number {
  const at = one.findIndex((octet, index) => octet !== other[index])
  return at < 0 ? 0 : one[at]! - other[at]!
}
