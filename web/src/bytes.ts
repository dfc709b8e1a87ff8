/** Octets: joining, comparing, base64url (RFC 4648 §5, canonical and unpadded). */

export type Octets = Uint8Array<ArrayBuffer>

export function octets(length: number): Octets {
  return new Uint8Array(length)
}

export function random(length: number): Octets {
  return crypto.getRandomValues(octets(length))
}

/** A copy whose buffer is its own: what WebCrypto and `postMessage` take. */
export function own(data: Uint8Array): Octets {
  return new Uint8Array(data)
}

export function concat(...parts: readonly Uint8Array[]): Octets {
  const joined = octets(parts.reduce((total, part) => total + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** Whether both are the same; the time tells the lengths, not the content. */
export function equal(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  let difference = 0
  for (let at = 0; at < one.length; at++) difference |= one[at]! ^ other[at]!
  return difference === 0
}

const encoder = new TextEncoder()
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export function utf8(text: string): Octets {
  return encoder.encode(text)
}

/** The text; undefined for what is not UTF-8. */
export function fromUtf8(data: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(data)
  } catch {
    return undefined
  }
}

export function uint32(value: number): Octets {
  const encoded = octets(4)
  new DataView(encoded.buffer).setUint32(0, value)
  return encoded
}

export function uint64(value: number | bigint): Octets {
  const encoded = octets(8)
  new DataView(encoded.buffer).setBigUint64(0, BigInt(value))
  return encoded
}

const CHUNK = 0x8000

export function encodeBase64url(data: Uint8Array): string {
  let binary = ""
  for (let at = 0; at < data.length; at += CHUNK) {
    binary += String.fromCharCode(...data.subarray(at, at + CHUNK))
  }
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
/** By length modulo four: the bits of the last character that must be zero. */
const UNUSED = [0, undefined, 15, 3]

/** The octets of which `text` is the one canonical encoding; undefined for any other text. */
export function decodeBase64url(text: string): Octets | undefined {
  const unused = UNUSED[text.length % 4]
  if (unused === undefined || /[^A-Za-z0-9_-]/.test(text)) return undefined
  if (unused && ALPHABET.indexOf(text.at(-1)!) & unused) return undefined
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"))
  const data = octets(binary.length)
  for (let at = 0; at < binary.length; at++) data[at] = binary.charCodeAt(at)
  return data
}

export function fromHex(text: string): Octets {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16))
}

export function hex(data: Uint8Array): string {
  return Array.from(data, (octet) => octet.toString(16).padStart(2, "0")).join("")
}
