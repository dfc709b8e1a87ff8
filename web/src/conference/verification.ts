/**
 * The security code that people read to each other (docs/protocol.md, "Security code").
 *
 * It stands for the whole MLS state of one epoch: two people who see the same code are in the same group, at the
 * same epoch, with the same members.
 */

import { concat, type Octets, uint64, utf8 } from "../bytes.ts"

const ROUNDS = 2 ** 17
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's base32: no I, L, O, U
const VALUE_SIZE = 32
const CHARACTERS = 20
const VALUE_CHARACTERS = 52

/** What a code is computed from; a value, so that epochs may go on meanwhile. */
export interface CodeInput {
  readonly groupId: Octets
  readonly epoch: number
  readonly epochAuthenticator: Octets
}

/** An epoch's code: what is read out, and what its QR code says. */
export interface SecurityCode {
  /** Twenty characters, `XXXXX-XXXXX-XXXXX-XXXXX`. */
  readonly code: string
  /** All 256 bits, and the epoch. */
  readonly qr: string
}

/** Takes some 100 ms of another thread. */
export async function securityCode(of: CodeInput): Promise<SecurityCode> {
  const salt = concat(utf8("Conclave 1.0 security code\0"), uint64(of.epoch), of.groupId)
  const password = await crypto.subtle.importKey("raw", of.epochAuthenticator, "PBKDF2", false, ["deriveBits"])
  const algorithm = { name: "PBKDF2", hash: "SHA-512", salt, iterations: ROUNDS }
  const value = new Uint8Array(await crypto.subtle.deriveBits(algorithm, password, 8 * VALUE_SIZE))
  return { code: grouped(base32(value, CHARACTERS)), qr: `CONCLAVE:1:${of.epoch}:${base32(value, VALUE_CHARACTERS)}` }
}

/** The first so many characters; where there are no more bits, they are zero. */
function base32(octets: Uint8Array, characters: number): string {
  const bits = Array.from(octets, (octet) => octet.toString(2).padStart(8, "0")).join("").padEnd(5 * characters, "0")
  return Array.from({ length: characters }, (_, at) => ALPHABET[parseInt(bits.slice(5 * at, 5 * at + 5), 2)]).join("")
}

/**
 * A code as a person may have typed it, in the form that `securityCode` gives.
 *
 * Crockford's base32 reads O as 0 and I, L as 1, in either case; blanks and dashes of any kind do not count. What
 * cannot be part of a code is kept, so that it equals none.
 */
export function normaliseCode(typed: string): string {
  const plain = typed.replace(/[\s\p{Pd}\x1c-\x1f\x85]/gu, "")
  return grouped(
    plain
      .replace(/[a-z]/g, (letter) => letter.toUpperCase())
      .replaceAll("O", "0")
      .replace(/[IL]/g, "1"),
  )
}

function grouped(characters: string): string {
  return (Array.from(characters).join("").match(/.{1,5}/gsu) ?? []).join("-")
}
