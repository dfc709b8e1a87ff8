/**
 * Certificates and revocation lists (RFC 5280 §4.1, §5.1), read strictly, and their signatures.
 *
 * The library that decodes them takes more than DER. What it would not encode again as the same octets is refused, so
 * that nothing is read in two ways. Signatures are WebCrypto's; the algorithms are those that Python's library lets
 * authorities have (`cryptography.x509.verification`).
 */

import { ECDSASigValue } from "@peculiar/asn1-ecc"
import { AsnConvert } from "@peculiar/asn1-schema"
import {
  AlgorithmIdentifier,
  Certificate as CertificateFields,
  type Extension as ExtensionFields,
  Extensions as ExtensionsFields,
  Name,
  Time,
} from "@peculiar/asn1-x509"
import { concat, equal, hex, octets, type Octets, own } from "../bytes.ts"
import {
  BIT_STRING,
  type Element,
  elements,
  GENERALIZED_TIME,
  INTEGER,
  one,
  SEQUENCE,
  tagged,
  unreadable,
  UTC_TIME,
} from "./der.ts"
import { CertificateError } from "./errors.ts"

const ORGANISATION = "2.5.4.10"
const COMMON_NAME = "2.5.4.3"
/** So much of an organisation's name is shown (App. A): a stranger's may be as long as a certificate. */
const MAX_SHOWN = 64
const MIN_RSA_BITS = 2048
const VERSION_3 = 2
/** INTEGER 1. */
const LIST_VERSION_2 = "020101"
/** Characters that are seen, and the blank: what Python's `str.isprintable` lets pass. */
const PRINTABLE = /^(?:[^\p{C}\p{Z}]| )*$/u

type Class<T> = new () => T

/** What `der` says. CertificateError for anything but the one encoding of a `type`. */
export function decode<T>(der: Uint8Array, type: Class<T>): T {
  let value: T
  let again: ArrayBuffer
  try {
    value = AsnConvert.parse(own(der), type)
    again = AsnConvert.serialize(value)
  } catch (error) {
    throw unreadable(error)
  }
  if (!equal(new Uint8Array(again), der)) throw new CertificateError("It cannot be read: it is not in DER.")
  return value
}

function encoded(value: unknown): Octets {
  return new Uint8Array(AsnConvert.serialize(value))
}

export function isPrintable(text: string): boolean {
  return PRINTABLE.test(text)
}

// --- Names ------------------------------------------------------------------------------------------

/** A distinguished name (§4.1.2.4). */
export class DistinguishedName {
  readonly der: Octets
  /** The same for names that say the same, in whatever type of string. */
  readonly content: string
  /** What to call who bears it: its organisation, else its common name. */
  readonly shown: string

  constructor(name: Name) {
    this.der = encoded(name)
    const parts = name.map((relative) => relative.map(({ type, value }) => [type, value.toString()] as const))
    this.content = JSON.stringify(parts.map((relative) => relative.map((each) => each.join("=")).sort()))
    const called = (kind: string) =>
      parts.flat().find(([type, text]) => type === kind && isPrintable(text) && text.trim())?.[1]
    const shown = called(ORGANISATION) ?? called(COMMON_NAME) ?? "an authority without a name"
    this.shown = Array.from(shown).slice(0, MAX_SHOWN).join("")
  }

  get isEmpty(): boolean {
    return this.content === "[]"
  }
}

// --- Extensions -------------------------------------------------------------------------------------

export interface Extension {
  readonly isCritical: boolean
  readonly value: Octets
}

/** By object identifier. */
export class Extensions {
  readonly all: ReadonlyMap<string, Extension>
  readonly #decoded = new Map<string, unknown>()

  /** CertificateError if one is there twice. */
  constructor(fields: readonly ExtensionFields[] = []) {
    this.all = new Map(
      fields.map(({ extnID, critical, extnValue }) => [
        extnID,
        { isCritical: critical, value: new Uint8Array(extnValue.buffer) },
      ]),
    )
    if (this.all.size !== fields.length) throw new CertificateError("It cannot be read: an extension is there twice.")
  }

  has(id: string): boolean {
    return this.all.has(id)
  }

  /** Its value; undefined if it is not there. CertificateError if it cannot be read. */
  get<T>(id: string, type: Class<T>): T | undefined {
    const found = this.all.get(id)
    if (found === undefined) return undefined
    const known = this.#decoded.get(id)
    if (known instanceof type) return known
    const value = decode(found.value, type)
    this.#decoded.set(id, value)
    return value
  }
}

// --- What is signed ---------------------------------------------------------------------------------

interface Signed {
  readonly toBeSigned: Octets
  /** An AlgorithmIdentifier, in DER. */
  readonly algorithm: Octets
  readonly signature: Octets
}

/** A certificate. Its form is right; nothing in it has been verified. */
export class Certificate implements Signed {
  readonly der: Octets
  readonly toBeSigned: Octets
  readonly algorithm: Octets
  readonly signature: Octets
  readonly isVersion3: boolean
  /** As in the encoding, a sign bit included. */
  readonly serial: Octets
  readonly subject: DistinguishedName
  readonly issuer: DistinguishedName
  /** In seconds since 1970. Both are within. */
  readonly begins: number
  readonly ends: number
  /** SubjectPublicKeyInfo, in DER. */
  readonly publicKey: Octets
  readonly keyAlgorithm: Octets
  readonly extensions: Extensions

  /** CertificateError if it cannot be read. */
  constructor(der: Uint8Array) {
    const fields = decode(der, CertificateFields)
    const inner = fields.tbsCertificate
    this.der = own(der)
    this.toBeSigned = encoded(inner)
    this.algorithm = sameAlgorithm(fields.signatureAlgorithm, inner.signature)
    this.signature = new Uint8Array(fields.signatureValue)
    this.isVersion3 = inner.version === VERSION_3
    this.serial = new Uint8Array(inner.serialNumber)
    this.subject = new DistinguishedName(inner.subject)
    this.issuer = new DistinguishedName(inner.issuer)
    this.begins = secondsOf(inner.validity.notBefore)
    this.ends = secondsOf(inner.validity.notAfter)
    this.publicKey = encoded(inner.subjectPublicKeyInfo)
    this.keyAlgorithm = encoded(inner.subjectPublicKeyInfo.algorithm)
    this.extensions = new Extensions(inner.extensions)
  }
}

/**
 * A revocation list. It may have a hundred thousand entries, for which the library would take half a minute: what it is
 * made of is told apart here, and its entries are read no further than to their numbers.
 */
export class RevocationList implements Signed {
  readonly der: Octets
  readonly toBeSigned: Octets
  readonly algorithm: Octets
  readonly signature: Octets
  readonly issuer: DistinguishedName
  /** In seconds since 1970. */
  readonly updated: number
  /** When there will be another; undefined if it does not say. */
  readonly ends: number | undefined
  readonly extensions: Extensions
  readonly #revoked: ReadonlySet<string>

  /** CertificateError if it cannot be read. */
  constructor(der: Uint8Array) {
    const [toBeSigned, algorithm, signature, ...more] = elements(one(der, SEQUENCE).body)
    if (toBeSigned?.tag !== SEQUENCE || signature?.tag !== BIT_STRING || signature.body[0] !== 0) throw unreadable()
    const inner = elements(toBeSigned.body)
    const next = (...tags: readonly number[]) => (tags.includes(inner[0]?.tag ?? -1) ? inner.shift()!.whole : undefined)
    const version = next(INTEGER)
    if (version !== undefined && hex(version) !== LIST_VERSION_2) throw unreadable()
    const innerAlgorithm = decode(next(SEQUENCE) ?? octets(0), AlgorithmIdentifier)
    this.issuer = new DistinguishedName(decode(next(SEQUENCE) ?? octets(0), Name))
    this.updated = secondsOf(decode(next(UTC_TIME, GENERALIZED_TIME) ?? octets(0), Time))
    const ends = next(UTC_TIME, GENERALIZED_TIME)
    const revoked = next(SEQUENCE)
    const extensions = next(tagged(0))
    if (inner.length || more.length) throw unreadable()
    this.der = own(der)
    this.toBeSigned = own(toBeSigned.whole)
    this.algorithm = sameAlgorithm(decode(algorithm!.whole, AlgorithmIdentifier), innerAlgorithm)
    this.signature = own(signature.body.subarray(1))
    this.ends = ends && secondsOf(decode(ends, Time))
    this.extensions = new Extensions(extensions && decode(one(extensions, tagged(0)).body, ExtensionsFields))
    this.#revoked = new Set(revoked && elements(one(revoked, SEQUENCE).body).map(serialOf))
  }

  get size(): number {
    return this.#revoked.size
  }

  revokes(certificate: Certificate): boolean {
    return this.#revoked.has(hex(certificate.serial))
  }
}

/** Of an entry in a list, as hexadecimal (§5.1.2.6). */
function serialOf({ tag, body }: Element): string {
  const [serial, time] = elements(body)
  const isTimed = time?.tag === UTC_TIME || time?.tag === GENERALIZED_TIME
  if (tag !== SEQUENCE || serial?.tag !== INTEGER || !isTimed) throw unreadable()
  return hex(serial.body)
}

/** §4.1.1.2: the algorithm stands inside and outside. */
function sameAlgorithm(outer: AlgorithmIdentifier, inner: AlgorithmIdentifier): Octets {
  const algorithm = encoded(outer)
  if (!equal(algorithm, encoded(inner))) throw new CertificateError("It names two signature algorithms.")
  return algorithm
}

/** §4.1.2.5: until 2049 as UTCTime, from 2050 on as GeneralizedTime, in whole seconds. */
function secondsOf({ utcTime, generalTime }: Time): number {
  const time = utcTime ?? generalTime
  const seconds = time === undefined ? NaN : time.getTime() / 1000
  if (!Number.isInteger(seconds) || (generalTime && generalTime.getUTCFullYear() < 2050)) {
    throw new CertificateError("It cannot be read: a time in it is none.")
  }
  return seconds
}

// --- Signatures -------------------------------------------------------------------------------------

const RSA = "300d06092a864886f70d0101010500"
/** By AlgorithmIdentifier: the curve, and how many octets a coordinate has. */
const CURVES: Readonly<Record<string, readonly [namedCurve: string, size: number]>> = {
  "301306072a8648ce3d020106082a8648ce3d030107": ["P-256", 32],
  "301006072a8648ce3d020106052b81040022": ["P-384", 48],
  "301006072a8648ce3d020106052b81040023": ["P-521", 66],
}

interface SignatureAlgorithm {
  readonly name: "RSASSA-PKCS1-v1_5" | "RSA-PSS" | "ECDSA"
  readonly hash: string
  readonly saltLength?: number
}

/** By AlgorithmIdentifier. */
const SIGNATURES: Readonly<Record<string, SignatureAlgorithm>> = {
  "300d06092a864886f70d01010b0500": { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  "300d06092a864886f70d01010c0500": { name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
  "300d06092a864886f70d01010d0500": { name: "RSASSA-PKCS1-v1_5", hash: "SHA-512" },
  [pss("01", "20")]: { name: "RSA-PSS", hash: "SHA-256", saltLength: 32 },
  [pss("02", "30")]: { name: "RSA-PSS", hash: "SHA-384", saltLength: 48 },
  [pss("03", "40")]: { name: "RSA-PSS", hash: "SHA-512", saltLength: 64 },
  "300a06082a8648ce3d040302": { name: "ECDSA", hash: "SHA-256" },
  "300a06082a8648ce3d040303": { name: "ECDSA", hash: "SHA-384" },
  "300a06082a8648ce3d040304": { name: "ECDSA", hash: "SHA-512" },
}

/** RFC 4055 §3.1: both hashes are the same, the salt is as long as they. */
function pss(hash: string, salt: string): string {
  const hashed = `300d06096086480165030402${hash}0500`
  const generated = `a11c301a06092a864886f70d010108${hashed}`
  return `304106092a864886f70d01010a3034a00f${hashed}${generated}a2030201${salt}`
}

/** What was verified, and by whose key. */
const verified = new WeakMap<Signed, WeakSet<Certificate>>()

/** CertificateError unless the key that `issuer` is of has signed it, and key and algorithm are ones that may. */
export async function verifySigned(signed: Signed, issuer: Certificate): Promise<void> {
  if (verified.get(signed)?.has(issuer)) return
  const how = SIGNATURES[hex(signed.algorithm)]
  const keyAlgorithm = hex(issuer.keyAlgorithm)
  const curve = CURVES[keyAlgorithm]
  if (how === undefined) throw new CertificateError("Its signature is of a kind that is not taken here.")
  if (curve === undefined && keyAlgorithm !== RSA) {
    throw new CertificateError("Its authority's key is of a kind that is not taken here.")
  }
  if ((how.name === "ECDSA") !== (curve !== undefined)) throw new CertificateError("Its signature is not right.")
  const key = await importKey(issuer.publicKey, how, curve?.[0])
  if ("modulusLength" in key.algorithm && (key.algorithm as RsaKeyAlgorithm).modulusLength < MIN_RSA_BITS) {
    throw new CertificateError(`Its authority's key has less than ${MIN_RSA_BITS} bits.`)
  }
  const signature = curve === undefined ? signed.signature : joined(signed.signature, curve[1])
  const isRight = await crypto.subtle.verify(how, key, signature, signed.toBeSigned).catch(() => false)
  if (!isRight) {
    throw new CertificateError("Its signature is not right.")
  }
  verified.set(signed, (verified.get(signed) ?? new WeakSet()).add(issuer))
}

async function importKey(
  publicKey: Octets,
  { name, hash }: SignatureAlgorithm,
  namedCurve: string | undefined,
): Promise<CryptoKey> {
  const algorithm = namedCurve === undefined ? { name, hash } : { name, namedCurve }
  try {
    return await crypto.subtle.importKey("spki", publicKey, algorithm, false, ["verify"])
  } catch (error) {
    throw new CertificateError("Its authority's key cannot be read.", { cause: error })
  }
}

/** Of DER, what WebCrypto takes: both numbers, as long as a coordinate. */
function joined(signature: Octets, size: number): Octets {
  const { r, s } = decode(signature, ECDSASigValue)
  return concat(...[r, s].map((each) => padded(new Uint8Array(each), size)))
}

function padded(number: Uint8Array, size: number): Octets {
  const bare = number[0] === 0 ? number.subarray(1) : number
  if (bare.length > size || (number[0] ?? 0) >= 0x80) throw new CertificateError("Its signature is not right.")
  return concat(octets(size - bare.length), bare)
}
