/** Cipher suites (RFC 9605 §4.5): the two that a meeting uses. A suite is a row of the table. */

import { sha256, sha512 } from "@noble/hashes/sha2.js"
import { SFrameMisuseError } from "./errors.ts"

export interface CipherSuite {
  readonly id: number
  readonly name: string
  readonly hash: typeof sha256 | typeof sha512
  /** Bytes of the AEAD's key, and of a base key. */
  readonly nk: number
  readonly nn: number
  readonly nt: number
}

const suites: readonly CipherSuite[] = [
  { id: 0x0004, name: "AES_128_GCM_SHA256_128", hash: sha256, nk: 16, nn: 12, nt: 16 },
  { id: 0x0005, name: "AES_256_GCM_SHA512_128", hash: sha512, nk: 32, nn: 12, nt: 16 },
]

/** The suite with this identifier (§8.1). */
export function cipherSuite(id: number): CipherSuite {
  const suite = suites.find((each) => each.id === id)
  if (suite === undefined) throw new SFrameMisuseError(`a meeting has no SFrame cipher suite ${id}`)
  return suite
}
