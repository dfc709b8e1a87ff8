/**
 * The name in a member's X.509 certificate (RFC 9420 §5.3), which every member reads in the same way.
 *
 * Whether to believe it is each member's own matter. Whether a leaf is of a meeting's form is not, or members would
 * differ about who may be in the group; so this looks at no date, signature or authority.
 */

import { concat, equal, fromHex, fromUtf8, type Octets, own } from "../bytes.ts"
import { type Element, elements, INTEGER, OID, one, PRINTABLE_STRING, SEQUENCE, SET, tagged, UTF8_STRING } from "./der.ts"
import { CertificateError, PolicyError } from "./errors.ts"

const MAX_CHAIN = 4
const MAX_CHAIN_OCTETS = 8192 // so much a knock can hold
export const COMMON_NAME = fromHex("550403")
/** SubjectPublicKeyInfo of Ed25519 (RFC 8410), up to the key's 32 octets. */
export const ED25519 = fromHex("302a300506032b6570032100")

function unreadable(): PolicyError {
  return new PolicyError("A member's certificate cannot be read.")
}

/**
 * The common name in the first certificate (DER) of a chain, which holds the leaf's signature key.
 *
 * PolicyError unless the chain is of the form that a meeting takes: one to four certificates of 8192 octets in all, in
 * the first one's subject just one common name, a UTF8String or PrintableString, and `signatureKey` in it.
 */
export function certifiedName(chain: readonly Uint8Array[], signatureKey: Octets): string {
  const size = chain.reduce((total, certificate) => total + certificate.length, 0)
  const [first] = chain
  if (first === undefined || chain.length > MAX_CHAIN || size > MAX_CHAIN_OCTETS) {
    throw new PolicyError(
      `A chain has 1 to ${MAX_CHAIN} certificates, of ${MAX_CHAIN_OCTETS} octets together at most.`,
    )
  }
  try {
    return nameOf(first, signatureKey)
  } catch (error) {
    throw error instanceof CertificateError ? unreadable() : error
  }
}

function nameOf(certificate: Uint8Array, signatureKey: Octets): string {
  const [toBeSigned] = elements(one(certificate, SEQUENCE).body)
  if (toBeSigned?.tag !== SEQUENCE) throw unreadable()
  const fields = elements(toBeSigned.body)
  if (fields[0]?.tag === tagged(0)) fields.shift()
  // Serial number, signature algorithm, issuer, validity, subject, public key.
  const [serial, , , , subject, publicKey] = fields
  if (serial?.tag !== INTEGER || subject?.tag !== SEQUENCE || publicKey === undefined) throw unreadable()
  if (!equal(publicKey.whole, concat(ED25519, signatureKey))) {
    throw new PolicyError("A member's certificate is for another key than its leaf's.")
  }
  return commonName(subject)
}

function commonName(subject: Element): string {
  const names = elements(subject.body).flatMap((relative) => {
    if (relative.tag !== SET) throw unreadable()
    return elements(relative.body).flatMap((attribute) => {
      const [type, value] = elements(attribute.body)
      if (attribute.tag !== SEQUENCE || type?.tag !== OID || value === undefined) throw unreadable()
      return equal(type.body, COMMON_NAME) ? [value] : []
    })
  })
  const [name] = names
  const text = name === undefined ? undefined : fromUtf8(own(name.body))
  const isPlain = name?.tag === UTF8_STRING || name?.tag === PRINTABLE_STRING
  if (names.length !== 1 || !isPlain || text === undefined) {
    throw new PolicyError("A member's certificate does not have just one common name.")
  }
  return text
}
