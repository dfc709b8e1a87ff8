/**
 * The SFrame header (RFC 9605 §4.3): a config byte, then KID and CTR where they do not fit into it.
 *
 *      0 1 2 3 4 5 6 7
 *     +-+-+-+-+-+-+-+-+------------+------------+
 *     |X|  K  |Y|  C  |   KID...   |   CTR...   |
 *     +-+-+-+-+-+-+-+-+------------+------------+
 *
 * A value of 0 to 7 stands in K or C itself; a larger one follows in as few bytes as hold it, and the field carries
 * their number less one, the flag above it set.
 */

import { concat, type Octets } from "../bytes.ts"
import { SFrameMisuseError, SFrameProtocolError } from "./errors.ts"

export const MAX_VALUE = 2n ** 64n - 1n
const INLINE_LIMIT = 8n // values below stand in the config byte
const EXTENDED = 8 // the flag X or Y, above its three-bit field

export interface Header {
  readonly kid: bigint
  readonly ctr: bigint
  /** The offset of what follows the header. */
  readonly end: number
}

function encodeField(value: bigint): { readonly bits: number; readonly bytes: Octets } {
  if (value < 0n || value > MAX_VALUE) throw new SFrameMisuseError("a KID or CTR is an unsigned 64-bit number")
  if (value < INLINE_LIMIT) return { bits: Number(value), bytes: new Uint8Array() }
  const digits = value.toString(16)
  const length = (digits.length + 1) >> 1
  const padded = digits.padStart(2 * length, "0")
  const bytes = Uint8Array.from({ length }, (_, at) => parseInt(padded.slice(2 * at, 2 * at + 2), 16))
  return { bits: EXTENDED | (length - 1), bytes }
}

export function encodeHeader(kid: bigint, ctr: bigint): Octets {
  const kidField = encodeField(kid)
  const ctrField = encodeField(ctr)
  return concat(Uint8Array.of((kidField.bits << 4) | ctrField.bits), kidField.bytes, ctrField.bytes)
}

/**
 * The header that begins at offset `start` of `frame`. SFrameProtocolError if there is none.
 *
 * "the value MUST be encoded with the minimum number of bytes required": any longer encoding is refused.
 */
export function decodeHeader(frame: Uint8Array, start = 0): Header {
  const config = frame[start]
  if (config === undefined) throw new SFrameProtocolError("malformed", "the frame ends before its SFrame header")
  const kid = decodeField(frame, config >> 4, start + 1)
  const ctr = decodeField(frame, config & 15, kid.end)
  return { kid: kid.value, ctr: ctr.value, end: ctr.end }
}

function decodeField(frame: Uint8Array, bits: number, at: number): { readonly value: bigint; readonly end: number } {
  if (bits < EXTENDED) return { value: BigInt(bits), end: at }
  const length = bits - EXTENDED + 1
  const end = at + length
  if (end > frame.length) throw new SFrameProtocolError("malformed", "the SFrame header is truncated")
  let value = 0n
  for (let index = at; index < end; index++) value = (value << 8n) | BigInt(frame[index]!)
  if (value < (length === 1 ? INLINE_LIMIT : 1n << BigInt(8 * (length - 1)))) {
    throw new SFrameProtocolError("malformed", "a KID or CTR could be written in fewer bytes")
  }
  return { value, end }
}
