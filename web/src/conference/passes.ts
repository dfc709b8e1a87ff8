/**
 * Why somebody may be added (docs/protocol.md, "Passes"): by the link, by a host, or as who it was before.
 *
 * A commit carries in its `authenticated_data`, behind the policy's binding, one pass for each Add. So every member
 * sees for itself on what ground the newcomer is there, whoever led and whatever the server says.
 */

import { concat, decodeBase64url, encodeBase64url, type Octets, own, utf8 } from "../bytes.ts"
import { PolicyError } from "./errors.ts"
import { isSigned, KEY_SIZE, type Sign, SIGNATURE_SIZE } from "./signing.ts"

const ID_SIZE = 16
const ADMISSION_LABEL = utf8("Conclave 1.0 admission\0")
const RETURN_LABEL = utf8("Conclave 1.0 return\0")
// First octet of a pass.
const LINK = 0
const HOST = 1
const RETURN = 2

/** It has the link, and that is enough. */
export interface ByLink {
  readonly ground: "link"
}

/** A host has decided about who knocks with this KeyPackage. */
export interface Admission {
  readonly ground: "host"
  /** The public key of the host that decided (Ed25519, 32 octets). */
  readonly host: Octets
  readonly signature: Octets
}

/** Who was in the group, and has lost its state: one commit swaps its leaf for a new one. */
export interface Return {
  readonly ground: "return"
  /** What the old leaf carries. */
  readonly participantId: string
  readonly signature: Octets
}

export type Pass = ByLink | Admission | Return
export const BY_LINK: ByLink = { ground: "link" }

function admissionText(groupId: Octets, reference: Octets, admitted: boolean): Octets {
  return concat(ADMISSION_LABEL, Uint8Array.of(admitted ? 1 : 0, groupId.length), groupId, reference)
}

function returnText(groupId: Octets, participantId: string, reference: Octets): Octets {
  const id = decodeBase64url(participantId) ?? new Uint8Array()
  return concat(RETURN_LABEL, id, Uint8Array.of(groupId.length), groupId, reference)
}

/** The decision of the host whose key signs by `sign`. */
export async function createAdmission(
  host: Octets,
  sign: Sign,
  groupId: Octets,
  reference: Octets,
  admitted: boolean,
): Promise<Admission> {
  return { ground: "host", host, signature: await sign(admissionText(groupId, reference, admitted)) }
}

/** PolicyError unless the host decided so about this KeyPackage and this group. */
export async function verifyAdmission(
  { host, signature }: Admission,
  groupId: Octets,
  reference: Octets,
  admitted: boolean,
): Promise<void> {
  if (!(await isSigned(host, signature, admissionText(groupId, reference, admitted)))) {
    throw new PolicyError("The signature of a host's decision about who knocks is wrong.")
  }
}

/** `sign` signs with the old leaf's key. */
export async function createReturn(
  participantId: string,
  sign: Sign,
  groupId: Octets,
  reference: Octets,
): Promise<Return> {
  return { ground: "return", participantId, signature: await sign(returnText(groupId, participantId, reference)) }
}

/** PolicyError unless the holder of the old leaf's `key` asks to be that KeyPackage in this group. */
export async function verifyReturn(given: Return, key: Octets, groupId: Octets, reference: Octets): Promise<void> {
  if (!(await isSigned(key, given.signature, returnText(groupId, given.participantId, reference)))) {
    throw new PolicyError("The signature of who says that it comes back is wrong.")
  }
}

function encodePass(pass: Pass): Octets {
  switch (pass.ground) {
    case "link":
      return Uint8Array.of(LINK)
    case "host":
      return concat(Uint8Array.of(HOST), pass.host, pass.signature)
    case "return":
      return concat(Uint8Array.of(RETURN), decodeBase64url(pass.participantId)!, pass.signature)
  }
}

/** The pass that the octets begin with, and the rest. */
function decodePass(encoded: Uint8Array): { readonly pass: Pass; readonly rest: Uint8Array } {
  const ground = encoded[0]
  const body = encoded.subarray(1)
  if (ground === LINK) return { pass: BY_LINK, rest: body }
  const size = ground === HOST ? KEY_SIZE : ground === RETURN ? ID_SIZE : undefined
  if (size === undefined) {
    throw new PolicyError("Somebody is to be added on a ground that this version of Conclave does not know.")
  }
  const who = own(body.subarray(0, size))
  const signature = own(body.subarray(size, size + SIGNATURE_SIZE))
  if (signature.length !== SIGNATURE_SIZE) {
    throw new PolicyError("A pass, which says why somebody may be added, is cut off.")
  }
  const pass: Pass =
    ground === HOST
      ? { ground: "host", host: who, signature }
      : { ground: "return", participantId: encodeBase64url(who), signature }
  return { pass, rest: body.subarray(size + SIGNATURE_SIZE) }
}

/** What is sealed as a knock: on what ground the newcomer asks, and its KeyPackage. */
export function encodeKnock(claim: ByLink | Return, keyPackage: Octets): Octets {
  return concat(encodePass(claim), keyPackage)
}

/** The claim and the KeyPackage. PolicyError for what is no knock. */
export function decodeKnock(plaintext: Octets): { readonly claim: ByLink | Return; readonly keyPackage: Octets } {
  const { pass, rest } = decodePass(plaintext)
  if (pass.ground === "host") throw new PolicyError("A knock brings a host's admission; that is the commit's to bring.")
  return { claim: pass, keyPackage: own(rest) }
}

/** What stands behind the binding in a commit's `authenticated_data`: a pass for each Add, in order. */
export function encodePasses(passes: readonly Pass[]): Octets {
  return concat(...passes.map(encodePass))
}

/** The passes of a commit that adds so many. PolicyError unless they are all there and nothing else is. */
export function decodePasses(encoded: Uint8Array, adds: number): Pass[] {
  const passes: Pass[] = []
  let rest = encoded
  while (passes.length < adds) {
    const decoded = decodePass(rest)
    passes.push(decoded.pass)
    rest = decoded.rest
  }
  if (rest.length) throw new PolicyError("The commit's authenticated data has more than a pass for each Add.")
  return passes
}
