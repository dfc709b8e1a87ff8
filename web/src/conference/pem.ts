/** Files in PEM (RFC 7468), as people hand them on: text around the parts does not matter. */

import { type Octets, own } from "../bytes.ts"
import { CertificateError } from "./errors.ts"

export const CERTIFICATE = "CERTIFICATE"
export const LIST = "X509 CRL"
export const REQUEST = "CERTIFICATE REQUEST"
const MAX_PARTS = 256

/** The octets of the parts of this kind. CertificateError for what is none. */
export function partsOf(file: string, text: string, label: string): readonly Octets[] {
  const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`]
  const parts = text.split(begin).slice(1)
  if (parts.length > MAX_PARTS) throw new CertificateError(`${file} holds more than ${MAX_PARTS} parts.`)
  return parts.map((part) => readable(file, () => fromBase64(part.slice(0, Math.max(part.indexOf(end), 0)))))
}

/** What `read` gives; what it finds fault with, is told of the file. */
export function readable<T>(file: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof CertificateError) throw new CertificateError(`${file} is damaged: ${error.message}`)
    throw error
  }
}

export function toPem(label: string, der: Octets): string {
  const lines = btoa(String.fromCharCode(...der)).replace(/.{64}(?=.)/g, "$&\n")
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}

function fromBase64(text: string): Octets {
  try {
    return own(Uint8Array.from(atob(text.replace(/\s/g, "")), (character) => character.charCodeAt(0)))
  } catch (error) {
    throw new CertificateError("It is not in base64.", { cause: error })
  }
}
