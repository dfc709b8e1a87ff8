/** What an authority needs to give a certificate for a key of ours: a request (PKCS #10, RFC 2986), signed by the key. */

import { concat, fromHex, octets, type Octets, utf8 } from "../bytes.ts"
import { COMMON_NAME, ED25519 } from "./certified_name.ts"
import { BIT_STRING, encode, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, tagged, UTF8_STRING } from "./der.ts"
import { MisuseError } from "./errors.ts"
import { checkedName } from "./rules.ts"
import type { HostKey } from "./signing.ts"

const EXTENSION_REQUEST = fromHex("2a864886f70d01090e")
const ALTERNATIVE_NAME = fromHex("551d11")
/** AlgorithmIdentifier of Ed25519 (RFC 8410). */
const SIGNED_WITH_ED25519 = fromHex("300506032b6570")
/** [1], a string: of a GeneralName, a mail address. */
const MAIL_ADDRESS = 0x81
const MAX_COMMON_NAME = 64 // octets (RFC 5280 App. A)
const ADDRESS = /^[!-?A-~]+@[A-Za-z0-9.-]+$/

/** MisuseError for a name that may be none in a certificate, or an address that is none. An empty one is left out. */
export async function createRequest({ key, sign }: HostKey, name: string, address: string): Promise<Octets> {
  const called = utf8(checkedName(name))
  if (called.length > MAX_COMMON_NAME) {
    throw new MisuseError(`In a certificate a name has at most ${MAX_COMMON_NAME} octets.`)
  }
  if (address !== "" && !ADDRESS.test(address)) throw new MisuseError(`${address} is no mail address.`)
  const attribute = encode(SEQUENCE, encode(OID, COMMON_NAME), encode(UTF8_STRING, called))
  const info = encode(
    SEQUENCE,
    encode(INTEGER, octets(1)),
    encode(SEQUENCE, encode(SET, attribute)),
    concat(ED25519, key),
    encode(tagged(0), address === "" ? octets(0) : askedFor(address)),
  )
  return encode(SEQUENCE, info, SIGNED_WITH_ED25519, encode(BIT_STRING, octets(1), await sign(info)))
}

/** RFC 2985 §5.4.2. */
function askedFor(address: string): Octets {
  const names = encode(SEQUENCE, encode(MAIL_ADDRESS, utf8(address)))
  const extension = encode(SEQUENCE, encode(OID, ALTERNATIVE_NAME), encode(OCTET_STRING, names))
  return encode(SEQUENCE, encode(OID, EXTENSION_REQUEST), encode(SET, encode(SEQUENCE, extension)))
}
