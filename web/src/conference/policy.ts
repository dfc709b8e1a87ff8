/**
 * The host-signed policy of a meeting (docs/protocol.md, "Policy").
 *
 * Version 0 is no document at all: what the link says holds, and nothing else. Every commit carries the version
 * and hash that it was made under in its `authenticated_data`, so both enter the transcript and the keys.
 */

import { sha256 } from "@noble/hashes/sha2.js"
import { concat, equal, fromUtf8, type Octets, own, uint32, utf8 } from "../bytes.ts"
import { flag, identifier, integer, listOf, nullable, octetString, struct, type TypeOf } from "../signaling/kinds.ts"
import { MisuseError, PolicyError } from "./errors.ts"
import { hostHash, SECRET_SIZE } from "./link.ts"
import { type HostKey, isSigned, KEY_SIZE, SIGNATURE_SIZE } from "./signing.ts"

export const HEAD_SIZE = KEY_SIZE + SIGNATURE_SIZE
export const MAX_BARRED = 256
export const MAX_REMOVED = 32
export const MAX_HOSTS = 8
const MAX_STEP = 2 ** 16 // how far a version may be ahead: nobody but the link's host can use them all up
export const BINDING_SIZE = 37
export const MAX_SIGNED = 16 * 1024
const count = integer(2 ** 32 - 1)
const LABEL = utf8("Conclave 1.0 policy\0")
const GRANT_LABEL = utf8("Conclave 1.0 further host\0")
const PSK_LABEL = utf8("Conclave 1.0 link psk")
const BINDING_VERSION = 1

const key = octetString(KEY_SIZE, KEY_SIZE)
/**
 * Somebody whom the link's host lets decide as it does: the signature key of its leaf, and the link's host's public
 * key ‖ its signature.
 */
const furtherHost = struct({ grant: octetString(HEAD_SIZE, HEAD_SIZE), key })

export type FurtherHost = TypeOf<typeof furtherHost>

// In the order in which the document has its fields.
const form = struct({
  barred: listOf(key, MAX_BARRED),
  ended: flag,
  hosts: listOf(furtherHost, MAX_HOSTS),
  link_generation: count,
  link_secret: nullable(octetString(SECRET_SIZE, SECRET_SIZE)),
  lobby: flag,
  locked: flag,
  meeting_id: identifier,
  removed: listOf(key, MAX_REMOVED),
  version: count,
})

export type PolicyDocument = TypeOf<typeof form>

/** What a meeting allows beyond its link. */
export class Policy {
  readonly document: PolicyDocument
  /** The document as it stands; empty for version 0. */
  readonly #encoded: Octets
  /** What a commit made under this policy carries as `authenticated_data` (37 octets). */
  readonly binding: Octets
  /**
   * The id under which the link's PSK stands in a commit that adds anybody under this policy. It names the policy
   * too, so that a Welcome leads nowhere for who was told another one.
   */
  readonly pskId: Octets

  constructor(document: PolicyDocument) {
    if ((document.link_secret === null) !== (document.link_generation === 0)) {
      throw new MisuseError("A policy has a link secret exactly if the link was changed.")
    }
    this.document = document
    this.#encoded = document.version === 0 ? new Uint8Array() : utf8(JSON.stringify(form.encode(document)))
    this.binding = concat(Uint8Array.of(BINDING_VERSION), uint32(document.version), sha256(this.#encoded))
    this.pskId = concat(PSK_LABEL, uint32(document.link_generation), this.binding)
  }

  /** Version 0: what a meeting begins with. */
  static none(meetingId: string): Policy {
    return new Policy({
      barred: [],
      ended: false,
      hosts: [],
      link_generation: 0,
      link_secret: null,
      lobby: false,
      locked: false,
      meeting_id: meetingId,
      removed: [],
      version: 0,
    })
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

  /** Nobody is added who is not in the group already. */
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
    return includes(this.document.barred, signatureKey)
  }

  /** Whether this signature key may not be in the group once the policy is in force. */
  excludes(signatureKey: Uint8Array): boolean {
    return this.bars(signatureKey) || includes(this.document.removed, signatureKey)
  }

  /** Whether the holder of this signature key is listed as a host. */
  lists(signatureKey: Uint8Array): boolean {
    return this.document.hosts.some((each) => equal(each.key, signatureKey))
  }

  /** Whether the holder of this signature key may decide. */
  hasHost(signatureKey: Uint8Array, linkHost: Uint8Array): boolean {
    return equal(hostHash(signatureKey), linkHost) || this.lists(signatureKey)
  }

  equals(other: Policy): boolean {
    return equal(this.binding, other.binding)
  }

  /** Whether a commit with this `authenticated_data` was made under this policy. */
  isBoundBy(authenticatedData: Uint8Array): boolean {
    return equal(this.binding, authenticatedData)
  }

  /** Host's public key (32) ‖ signature (64) ‖ document. MisuseError for version 0. */
  async sign(host: HostKey): Promise<Octets> {
    if (this.version === 0) {
      throw new MisuseError("Version 0 is the absence of a policy; a policy begins with version 1.")
    }
    return concat(host.key, await host.sign(concat(LABEL, this.#encoded)), this.#encoded)
  }
}

function includes(keys: readonly Uint8Array[], wanted: Uint8Array): boolean {
  return keys.some((each) => equal(each, wanted))
}

function grantText(meetingId: string, signatureKey: Octets): Octets {
  return concat(GRANT_LABEL, utf8(meetingId), signatureKey)
}

/** The link's host names a further one. */
export async function createFurtherHost(host: HostKey, meetingId: string, signatureKey: Octets): Promise<FurtherHost> {
  const signature = await host.sign(grantText(meetingId, signatureKey))
  return { grant: concat(host.key, signature), key: signatureKey }
}

/** PolicyError unless the link's host granted it, for this meeting. */
async function verifyFurtherHost(named: FurtherHost, meetingId: string, linkHost: Uint8Array): Promise<void> {
  const signer = own(named.grant.subarray(0, KEY_SIZE))
  if (!equal(hostHash(signer), linkHost)) {
    throw new PolicyError("A further host is named by somebody who is not the host of this meeting.")
  }
  if (!(await isSigned(signer, own(named.grant.subarray(KEY_SIZE)), grantText(meetingId, named.key)))) {
    throw new PolicyError("The signature that names a further host is wrong.")
  }
}

/**
 * The policy in `signed`, checked to be a lawful successor of `current`; whoever joins passes version 0.
 *
 * PolicyError if its signer is neither the host that the link names (`linkHost`, 16 octets) nor one that it has named,
 * the signature is wrong, or it belongs to another meeting or is no newer.
 */
export async function verifyPolicy(signed: Uint8Array, current: Policy, linkHost: Uint8Array): Promise<Policy> {
  if (signed.length <= HEAD_SIZE || signed.length > MAX_SIGNED) {
    throw new PolicyError(
      `A signed policy has more than ${HEAD_SIZE} and at most ${MAX_SIGNED} octets, not ${signed.length}.`,
    )
  }
  const signer = signerOf(signed)
  const document = own(signed.subarray(HEAD_SIZE))
  if (!(await isSigned(signer, own(signed.subarray(KEY_SIZE, HEAD_SIZE)), concat(LABEL, document)))) {
    throw new PolicyError("The policy's signature is wrong.")
  }
  const policy = Policy.decode(document)
  if (policy.meetingId !== current.meetingId) throw new PolicyError("The policy belongs to another meeting.")
  await checkSigner(signer, policy, current, linkHost)
  checkSuccession(policy, current)
  return policy
}

/** Whose signature a signed policy says that it has. */
export function signerOf(signed: Uint8Array): Octets {
  return own(signed.subarray(0, KEY_SIZE))
}

async function checkSigner(signer: Octets, policy: Policy, current: Policy, linkHost: Uint8Array): Promise<void> {
  const { hosts } = policy.document
  for (const each of hosts) await verifyFurtherHost(each, policy.meetingId, linkHost)
  if (equal(hostHash(signer), linkHost)) return
  // Who joins knows no earlier policy than none: for it, the grants in the document itself have to do.
  const areSame = JSON.stringify(hosts.map(spelt)) === JSON.stringify(current.document.hosts.map(spelt))
  if (!policy.hasHost(signer, linkHost) || (current.version !== 0 && !areSame)) {
    throw new PolicyError("The policy is signed by somebody who is not the host of this meeting.")
  }
}

function spelt(host: FurtherHost): unknown {
  return furtherHost.encode(host)
}

function checkSuccession(policy: Policy, current: Policy): void {
  if (policy.version <= current.version) {
    throw new PolicyError(`The policy has version ${policy.version}, but ${current.version} is in force.`)
  }
  if (current.version !== 0 && policy.version > current.version + MAX_STEP) {
    throw new PolicyError(`The policy has version ${policy.version}, far beyond ${current.version}.`)
  }
  if (policy.linkGeneration < current.linkGeneration) {
    throw new PolicyError("The policy would bring an old link back.")
  }
  const [secret, before] = [policy.document.link_secret, current.document.link_secret]
  const isSame = secret === null || before === null ? secret === before : equal(secret, before)
  if (policy.linkGeneration === current.linkGeneration && !isSame) {
    throw new PolicyError("The policy would change the link without counting its generation up.")
  }
  if (current.document.ended && !policy.document.ended) {
    throw new PolicyError("The meeting has ended; no policy begins it again.")
  }
}
