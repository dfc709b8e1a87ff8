/**
 * The meeting link, and what is derived from its secret (docs/protocol.md, "Meeting link").
 *
 * What stands after `#` never reaches the server, and it, not the server, fixes the cipher suite, the flags and
 * whose policy counts.
 */

import { argon2id } from "@noble/hashes/argon2.js"
import { hmac } from "@noble/hashes/hmac.js"
import { sha256 } from "@noble/hashes/sha2.js"
import { concat, decodeBase64url, encodeBase64url, equal, type Octets, own, random, uint64, utf8 } from "../bytes.ts"
import { LinkError, MemberError } from "./errors.ts"

export const X25519_SUITE = 1
export const X_WING_SUITE = 83
/** MLS_256_XWING_AES256GCM_SHA512_Ed25519: what is recorded today stays shut to later quantum computers. */
export const DEFAULT_SUITE = X_WING_SUITE
const SUITES: readonly number[] = [X25519_SUITE, X_WING_SUITE]
const VERSION = 1
const MAX_LINK = 2048
const MAX_PASSPHRASE = 1024
const ID_SIZE = 16
export const SECRET_SIZE = 16
const HOST_SIZE = 16
const NONCE_SIZE = 12
const NO_FLAGS = "0"
const WITH_AUDIO_LEVELS = "a"
const WITH_PASSPHRASE = "p"
const WITH_CERTIFICATE = "c"
const CERTIFICATE_SIZE = 32
const FLAGS = /^(?:(?!$)(a)?(?:c([A-Za-z0-9_-]{43}))?(p)?|0)$/
// Part of the protocol: every participant must come to the same key.
const ARGON2 = { m: 19456, t: 2, p: 1, dkLen: 32 }

/** 16 octets that name the host's Ed25519 key (32 octets) in the link. */
export function hostHash(hostPublicKey: Uint8Array): Octets {
  return own(sha256(concat(utf8("Conclave 1.0 host\0"), hostPublicKey)).subarray(0, HOST_SIZE))
}

/** A meeting link. `LinkError` if a part is not of its form, however it is made. */
export class MeetingLink {
  /** Scheme and authority in lower case, without a slash at the end. */
  readonly server: string
  readonly meetingId: string
  readonly suite: number
  /** `hostHash` of the key that signs the meeting's policy. */
  readonly host: Octets
  readonly hasPassphrase: boolean
  /**
   * SHA-256 of the server's certificate, which a terminal client trusts alone. A page cannot see certificates: here
   * it is carried on, for what is derived from the link depends on it.
   */
  readonly certificate: Octets | null
  /** Whether microphones tell the server how loud they are, and so who speaks (RFC 6464). */
  readonly hasAudioLevels: boolean
  // Private, so that no console, log or error report prints it.
  readonly #secret: Octets

  constructor(
    server: string,
    meetingId: string,
    suite: number,
    host: Octets,
    secret: Octets,
    hasPassphrase: boolean,
    certificate: Octets | null = null,
    hasAudioLevels = false,
  ) {
    if (serverOrigin(server) !== server) {
      throw new LinkError("A server's address is in lower case and has no slash at its end.")
    }
    octetsOf("meeting id", meetingId, ID_SIZE)
    if (!SUITES.includes(suite)) {
      throw new LinkError("The link asks for a cipher suite that this version of Conclave does not know.")
    }
    if (host.length !== HOST_SIZE || secret.length !== SECRET_SIZE) {
      throw new LinkError("The host or the secret of a link has the wrong length.")
    }
    if (certificate !== null && (certificate.length !== CERTIFICATE_SIZE || !server.startsWith("https://"))) {
      throw new LinkError("The link's fingerprint of a certificate is none, or its address is not https://.")
    }
    this.server = server
    this.meetingId = meetingId
    this.suite = suite
    this.host = host
    this.#secret = secret
    this.hasPassphrase = hasPassphrase
    this.certificate = certificate
    this.hasAudioLevels = hasAudioLevels
  }

  /** A link with a fresh secret. */
  static create(
    server: string,
    meetingId: string,
    hostPublicKey: Uint8Array,
    { suite = DEFAULT_SUITE, hasPassphrase = false, hasAudioLevels = false } = {},
  ): MeetingLink {
    const host = hostHash(hostPublicKey)
    const secret = random(SECRET_SIZE)
    return new MeetingLink(serverOrigin(server), meetingId, suite, host, secret, hasPassphrase, null, hasAudioLevels)
  }

  /** The link that `text` spells. LinkError says what is wrong with it, without repeating the secret. */
  static parse(text: string): MeetingLink {
    if (text.length > MAX_LINK) {
      throw new LinkError(`A meeting link has at most ${MAX_LINK} characters; this one has ${text.length}.`)
    }
    const trimmed = text.trim()
    const hash = trimmed.indexOf("#")
    const address = hash < 0 ? trimmed : trimmed.slice(0, hash)
    if (address.includes("?")) throw new LinkError("A meeting link has no `?` part: the server would see it.")
    const at = address.lastIndexOf("/m/")
    if (at <= 0) {
      throw new LinkError("A meeting link looks like https://HOST/m/MEETING#…; this one has another path.")
    }
    const fields = fragmentOf(hash < 0 ? "" : trimmed.slice(hash + 1))
    return new MeetingLink(
      serverOrigin(address.slice(0, at)),
      address.slice(at + 3),
      fields.suite,
      fields.host,
      fields.secret,
      fields.hasPassphrase,
      fields.certificate,
      fields.hasAudioLevels,
    )
  }

  /** The fragment without its secret: what the derived keys are bound to. */
  get publicFragment(): string {
    const certificate = this.certificate === null ? "" : WITH_CERTIFICATE + encodeBase64url(this.certificate)
    const levels = this.hasAudioLevels ? WITH_AUDIO_LEVELS : ""
    const flags = levels + certificate + (this.hasPassphrase ? WITH_PASSPHRASE : "")
    return `${VERSION}.${this.suite}.${flags || NO_FLAGS}.${encodeBase64url(this.host)}`
  }

  /** The whole link, secret and all. */
  spell(): string {
    return `${this.server}/m/${this.meetingId}#${this.publicFragment}.${encodeBase64url(this.#secret)}`
  }

  /**
   * The keys that the link (and its passphrase) give; takes up to a second with a passphrase.
   *
   * LinkError if a passphrase is missing, or given where the link has none.
   */
  keys(passphrase: string | null = null): LinkKeys {
    if (this.hasPassphrase && passphrase === null) {
      throw new LinkError("This meeting has a passphrase; ask the host for it.")
    }
    if (!this.hasPassphrase && passphrase !== null) {
      throw new LinkError("This meeting has no passphrase, but one was given.")
    }
    const stretched = passphrase === null ? new Uint8Array() : this.#stretch(passphrase)
    return this.derive(stretched)
  }

  /** The link to the same meeting after a host has given it another secret. */
  changed(secret: Octets): MeetingLink {
    const { server, meetingId, suite, host, hasPassphrase, certificate, hasAudioLevels } = this
    return new MeetingLink(server, meetingId, suite, host, secret, hasPassphrase, certificate, hasAudioLevels)
  }

  hasSecret(secret: Uint8Array): boolean {
    return equal(this.#secret, secret)
  }

  /** The keys of this link; `stretched` is empty, or what its passphrase gives. */
  derive(stretched: Uint8Array): LinkKeys {
    const root = hmac(sha256, utf8("Conclave 1.0 link"), concat(this.#secret, stretched))
    const context = `${this.publicFragment}/${this.meetingId}`
    return new LinkKeys(
      this.meetingId,
      expand(root, `Conclave 1.0 link psk\0${context}`),
      expand(root, `Conclave 1.0 knock key\0${context}`),
      stretched,
    )
  }

  #stretch(passphrase: string): Uint8Array {
    // Composed, for one keyboard composes what another does not.
    const composed = passphrase.normalize("NFC")
    if (/\p{Cs}/u.test(composed)) throw new LinkError("The passphrase has a character that is none; type it again.")
    const password = utf8(composed)
    if (password.length === 0 || password.length > MAX_PASSPHRASE) {
      throw new LinkError(`A passphrase has 1 to ${MAX_PASSPHRASE} bytes in UTF-8.`)
    }
    const salt = sha256(utf8(`Conclave 1.0 passphrase\0${this.meetingId}`)).subarray(0, 16)
    return argon2id(password, salt, ARGON2)
  }
}

/** What whoever has the link can do: vouch for an Add, and seal what the server must not read. */
export class LinkKeys {
  readonly meetingId: string
  readonly #linkPsk: Octets
  readonly #knockKey: Octets
  /** What the passphrase gives, for the link's next secret. */
  readonly #stretched: Uint8Array
  #aead: Promise<CryptoKey> | undefined

  constructor(meetingId: string, linkPsk: Octets, knockKey: Octets, stretched: Uint8Array = new Uint8Array()) {
    this.meetingId = meetingId
    this.#linkPsk = linkPsk
    this.#knockKey = knockKey
    this.#stretched = stretched
  }

  /** The keys of the same meeting's changed link: its passphrase stays. */
  of(link: MeetingLink): LinkKeys {
    return link.derive(this.#stretched)
  }

  /** 32 octets: the external PSK in every commit that adds anybody. */
  get linkPsk(): Octets {
    return this.#linkPsk
  }

  /** A join request that only holders of the link can read: nonce ‖ ciphertext ‖ tag. */
  sealKnock(participantId: string, knock: Uint8Array): Promise<Octets> {
    return this.#seal(this.#knockAad(participantId), knock)
  }

  /** What was sealed as a join request. MemberError if it was not for this meeting and sender. */
  openKnock(participantId: string, knock: Uint8Array): Promise<Octets> {
    return this.#open(this.#knockAad(participantId), knock)
  }

  /** The policy for who joins the group at `epoch`. */
  sealPolicy(groupId: Uint8Array, epoch: number, signed: Uint8Array): Promise<Octets> {
    return this.#seal(this.#policyAad(groupId, epoch), signed)
  }

  /** The policy that came beside a Welcome. MemberError if it was sealed for anything else. */
  openPolicy(groupId: Uint8Array, epoch: number, sealed: Uint8Array): Promise<Octets> {
    return this.#open(this.#policyAad(groupId, epoch), sealed)
  }

  #knockAad(participantId: string): Octets {
    return utf8(`Conclave 1.0 knock\0${this.meetingId}/${participantId}`)
  }

  #policyAad(groupId: Uint8Array, epoch: number): Octets {
    return concat(utf8(`Conclave 1.0 policy\0${this.meetingId}/`), uint64(epoch), groupId)
  }

  #key(): Promise<CryptoKey> {
    this.#aead ??= crypto.subtle.importKey("raw", this.#knockKey, "AES-GCM", false, ["encrypt", "decrypt"])
    return this.#aead
  }

  async #seal(additionalData: Octets, plaintext: Uint8Array): Promise<Octets> {
    const iv = random(NONCE_SIZE)
    const algorithm = { name: "AES-GCM", iv, additionalData }
    const sealed = await crypto.subtle.encrypt(algorithm, await this.#key(), own(plaintext))
    return concat(iv, new Uint8Array(sealed))
  }

  async #open(additionalData: Octets, sealed: Uint8Array): Promise<Octets> {
    const algorithm = { name: "AES-GCM", iv: own(sealed.subarray(0, NONCE_SIZE)), additionalData }
    try {
      const opened = await crypto.subtle.decrypt(algorithm, await this.#key(), own(sealed.subarray(NONCE_SIZE)))
      return new Uint8Array(opened)
    } catch {
      throw new MemberError(
        "What was sealed under the meeting link does not open: another link, passphrase or sender.",
      )
    }
  }
}

function expand(root: Uint8Array, info: string): Octets {
  // HKDF-Expand to 32 octets is one block (RFC 5869 §2.3).
  return own(hmac(sha256, root, concat(utf8(info), Uint8Array.of(1))))
}

const LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
const ORIGIN = new RegExp(
  `^(?<origin>https?://(?:${LABEL}(?:\\.${LABEL})*|\\[(?<ipv6>[0-9a-f:.]+)\\])(?::(?<port>[1-9][0-9]{0,4}))?)/?$`,
)

/** Scheme and authority in lower case. No error repeats `server`: it may be a whole link, run together. */
export function serverOrigin(server: string): string {
  const found = /^[\x00-\x7f]*$/.test(server) ? ORIGIN.exec(server.toLowerCase()) : null
  if (found?.groups === undefined) {
    throw new LinkError(
      "A server's address is http:// or https://, a host and perhaps a port, such as " +
        "https://meet.example:8443, and nothing else.",
    )
  }
  const { origin, ipv6, port } = found.groups
  if (Number(port ?? 0) > 0xffff) throw new LinkError("The port in this address is not a number from 1 to 65535.")
  if (ipv6 !== undefined && !URL.canParse(`http://[${ipv6}]/`)) {
    throw new LinkError("The address in brackets is not an IPv6 address.")
  }
  return origin!
}

function octetsOf(what: string, text: string, size: number): Octets {
  const decoded = decodeBase64url(text)
  if (decoded === undefined) throw new LinkError(`The link's ${what} is damaged. Copy the whole link again.`)
  if (decoded.length !== size) {
    throw new LinkError(`The link's ${what} has the wrong length. Copy the whole link again.`)
  }
  return decoded
}

interface Fragment {
  suite: number
  host: Octets
  secret: Octets
  hasPassphrase: boolean
  certificate: Octets | null
  hasAudioLevels: boolean
}

function fragmentOf(fragment: string): Fragment {
  const [version, suite, flags, host, secret, ...more] = fragment.split(".")
  if (version !== String(VERSION)) {
    throw new LinkError("The part after # is missing or of another version. Copy the whole link, or update Conclave.")
  }
  if (flags === undefined || host === undefined || secret === undefined || more.length) {
    throw new LinkError("The part of the link after # is incomplete. Copy the whole link again.")
  }
  if (!SUITES.map(String).includes(suite!)) {
    throw new LinkError("The link asks for a cipher suite that this version of Conclave does not know.")
  }
  const known = FLAGS.exec(flags)
  if (known === null) {
    throw new LinkError("The link asks for a feature that this version of Conclave does not know.")
  }
  return {
    suite: Number(suite),
    host: octetsOf("host key", host, HOST_SIZE),
    secret: octetsOf("secret", secret, SECRET_SIZE),
    hasPassphrase: known[3] !== undefined,
    certificate: known[2] === undefined ? null : octetsOf("certificate", known[2], CERTIFICATE_SIZE),
    hasAudioLevels: known[1] !== undefined,
  }
}
