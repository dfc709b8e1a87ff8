/** The outer form of DER (X.690 §8.1, §10.1): tag, length, value. What is within is the reader's matter. */

import { concat, type Octets } from "../bytes.ts"
import { CertificateError } from "./errors.ts"

export const INTEGER = 0x02
export const BIT_STRING = 0x03
export const OCTET_STRING = 0x04
export const OID = 0x06
export const UTF8_STRING = 0x0c
export const PRINTABLE_STRING = 0x13
export const UTC_TIME = 0x17
export const GENERALIZED_TIME = 0x18
export const SEQUENCE = 0x30
export const SET = 0x31
const MAX_LENGTH_OCTETS = 3
const TAG_OF_MORE_OCTETS = 0x1f

export interface Element {
  readonly tag: number
  readonly whole: Uint8Array
  readonly body: Uint8Array
}

/** The tag [number] of something constructed. */
export function tagged(number: number): number {
  return 0xa0 + number
}

/** The elements that `der` is made of. CertificateError for what is none. */
export function elements(der: Uint8Array): Element[] {
  const found: Element[] = []
  let at = 0
  while (at < der.length) {
    const tag = der[at]!
    const { length, begin } = lengthAt(der, at + 1)
    if (begin + length > der.length || (tag & TAG_OF_MORE_OCTETS) === TAG_OF_MORE_OCTETS) throw unreadable()
    found.push({ tag, whole: der.subarray(at, begin + length), body: der.subarray(begin, begin + length) })
    at = begin + length
  }
  return found
}

/** The one element, of this tag, that `der` is. CertificateError for anything else. */
export function one(der: Uint8Array, tag: number): Element {
  const [element, ...more] = elements(der)
  if (element === undefined || element.tag !== tag || more.length) throw unreadable()
  return element
}

/** An element of these parts. */
export function encode(tag: number, ...parts: readonly Uint8Array[]): Octets {
  const body = concat(...parts)
  const size = body.length < 0x80 ? 0 : body.length < 0x100 ? 1 : body.length < 0x10000 ? 2 : MAX_LENGTH_OCTETS
  const length = Array.from({ length: size }, (_, at) => Math.floor(body.length / 256 ** (size - 1 - at)) % 256)
  return concat(Uint8Array.of(tag, ...(size ? [0x80 + size, ...length] : [body.length])), body)
}

export function unreadable(cause?: unknown): CertificateError {
  return new CertificateError("It cannot be read.", { cause })
}

function lengthAt(der: Uint8Array, at: number): { readonly length: number; readonly begin: number } {
  const first = der[at]
  if (first === undefined) throw unreadable()
  if (first < 0x80) return { length: first, begin: at + 1 }
  const size = first & 0x7f
  if (size === 0 || size > MAX_LENGTH_OCTETS || at + size >= der.length) throw unreadable()
  const length = der.subarray(at + 1, at + 1 + size).reduce((value, octet) => 256 * value + octet, 0)
  if (length < (size === 1 ? 0x80 : 256 ** (size - 1))) throw unreadable() // it could be written in fewer octets
  return { length, begin: at + 1 + size }
}
