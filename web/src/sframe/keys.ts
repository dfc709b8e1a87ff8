/**
 * Keys of one KID: derivation (RFC 9605 §4.4.2), encryption (§4.4.3) and decryption (§4.4.4).
 *
 * "Implementations MUST mark each base_key as usable for encryption or decryption, never both" (§4.4.1): here by two
 * types. A SendingKey owns its counter: it cannot be given or set back, and no function takes a nonce, so that no
 * (key, nonce) pair can be used twice.
 *
 * A frame may begin with bytes that stay in the clear (`clear`, their number), as the RTP payload formats of today
 * ask for it; they travel before the SFrame ciphertext and are its metadata, hence authenticated.
 */

import { expand, extract } from "@noble/hashes/hkdf.js"
import { concat, type Octets, octets, own, uint64, utf8 } from "../bytes.ts"
import type { CipherSuite } from "./ciphersuite.ts"
import { SFrameMisuseError, SFrameProtocolError } from "./errors.ts"
import { encodeHeader, type Header, MAX_VALUE } from "./header.ts"
import { ReplayWindow } from "./replay.ts"

const MAX_FRAME = 1 << 24 // far above any encoded frame; a bound on what one frame can make us do

/** `sframe_key` (Nk bytes) and `sframe_salt` (Nn bytes) of a base key (§4.4.2). */
export function deriveKeySalt(suite: CipherSuite, kid: bigint, baseKey: Uint8Array): { key: Octets; salt: Octets } {
  const secret = extract(suite.hash, baseKey, new Uint8Array())
  const context = concat(uint64(kid), Uint8Array.of(suite.id >> 8, suite.id & 0xff))
  return {
    key: own(expand(suite.hash, secret, concat(utf8("SFrame 1.0 Secret key "), context), suite.nk)),
    salt: own(expand(suite.hash, secret, concat(utf8("SFrame 1.0 Secret salt "), context), suite.nn)),
  }
}

abstract class Key {
  readonly kid: bigint
  protected readonly suite: CipherSuite
  // A CryptoKey that cannot be exported; the bytes it was made from are not kept.
  protected readonly aead: Promise<CryptoKey>
  readonly #salt: Octets

  constructor(suite: CipherSuite, kid: bigint, baseKey: Uint8Array, usage: "encrypt" | "decrypt") {
    const { key, salt } = deriveKeySalt(suite, kid, baseKey)
    this.suite = suite
    this.kid = kid
    this.#salt = salt
    this.aead = crypto.subtle.importKey("raw", key, "AES-GCM", false, [usage])
  }

  protected algorithm(ctr: bigint, additionalData: Octets): AesGcmParams {
    const iv = own(this.#salt)
    const low = new DataView(iv.buffer)
    low.setBigUint64(4, low.getBigUint64(4) ^ ctr)
    return { name: "AES-GCM", iv, additionalData, tagLength: 8 * this.suite.nt }
  }
}

/**
 * Seals frames under one KID with the counters 0, 1, 2, ... up to 2^64 - 1.
 *
 * Making two from the same base key and KID would use the counters twice: see `SendingEpochs` for how that is kept
 * from happening.
 */
export class SendingKey extends Key {
  #next: bigint

  /** `first` is for the vectors of Appendix C, which begin elsewhere. */
  constructor(suite: CipherSuite, kid: bigint, baseKey: Uint8Array, first = 0n) {
    super(suite, kid, baseKey, "encrypt")
    this.#next = first
  }

  /** The first `clear` bytes as they are, then the SFrame ciphertext of the others. */
  async seal(frame: Uint8Array, clear: number): Promise<Octets> {
    if (clear < 0 || clear > frame.length) throw new SFrameMisuseError("more bytes in the clear than the frame has")
    const prefix = own(frame.subarray(0, clear))
    return concat(prefix, await this.encrypt(frame.subarray(clear), prefix))
  }

  /** `encrypt` of §4.4.3: the SFrame header and the AEAD's output. */
  async encrypt(plaintext: Uint8Array, metadata: Uint8Array): Promise<Octets> {
    if (plaintext.length > MAX_FRAME) throw new SFrameMisuseError(`a frame has at most ${MAX_FRAME} bytes`)
    // Drawn before anything is waited for, so that no two frames draw the same.
    const ctr = this.#next++
    if (ctr > MAX_VALUE) throw new SFrameMisuseError("this key has sealed its last frame")
    const header = encodeHeader(this.kid, ctr)
    const algorithm = this.algorithm(ctr, concat(header, metadata))
    const sealed = await crypto.subtle.encrypt(algorithm, await this.aead, own(plaintext))
    return concat(header, new Uint8Array(sealed))
  }
}

/** Opens frames of one KID, each counter once. */
export class ReceivingKey extends Key {
  readonly #window = new ReplayWindow()

  constructor(suite: CipherSuite, kid: bigint, baseKey: Uint8Array) {
    super(suite, kid, baseKey, "decrypt")
  }

  /**
   * The plaintext of a frame whose header, from offset `clear` on, has been read; with its clear bytes.
   *
   * SFrameProtocolError (malformed, replayed, bad tag), and nothing has changed then.
   */
  async open(frame: Uint8Array, clear: number, header: Header): Promise<Octets> {
    const ciphertext = frame.subarray(header.end)
    if (ciphertext.length < this.suite.nt || ciphertext.length > MAX_FRAME + this.suite.nt) {
      throw new SFrameProtocolError("malformed", "the ciphertext holds no frame, or too large a one")
    }
    this.#checkFresh(header.ctr)
    const prefix = frame.subarray(0, clear)
    const algorithm = this.algorithm(header.ctr, concat(frame.subarray(clear, header.end), prefix))
    let plaintext: ArrayBuffer
    try {
      plaintext = await crypto.subtle.decrypt(algorithm, await this.aead, own(ciphertext))
    } catch {
      throw new SFrameProtocolError("bad tag", "the authentication tag does not fit")
    }
    // Asked again, for the same frame may have been opened meanwhile on another slot.
    this.#checkFresh(header.ctr)
    this.#window.accept(header.ctr)
    const opened = octets(clear + plaintext.byteLength)
    opened.set(prefix)
    opened.set(new Uint8Array(plaintext), clear)
    return opened
  }

  #checkFresh(ctr: bigint): void {
    if (!this.#window.isFresh(ctr)) {
      throw new SFrameProtocolError("replayed", "this counter was accepted before, or is too old")
    }
  }
}
