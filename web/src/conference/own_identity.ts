/**
 * One's own identity: a signature key that is the same in every meeting, so that members who compared it know us
 * again. Nothing is kept until its user wants that, and then a handle: the browser signs by it, and no script can
 * take a copy of it. Like conference/own_identity.py, but for that.
 */

import { decodeBase64url, hex, type Octets, own, utf8 } from "../bytes.ts"
import { createRequest } from "./certificate_request.ts"
import { certifiedName } from "./certified_name.ts"
import type { Former } from "./entrance.ts"
import { CertificateError, ConferenceError, StorageError } from "./errors.ts"
import { CERTIFICATE, partsOf, REQUEST, toPem } from "./pem.ts"
import { checkedName } from "./rules.ts"
import { createKeyPair, type HostKey, hostKeyOf, isSigned, keptKeyPair } from "./signing.ts"
import { done, inStore } from "./storage.ts"

const STORE = "identity"
const OWN = "own"
const STAY = "stay"
const ID_SIZE = 16
const TAKEN_AFTER_MS = 2000 // a page that is being reloaded lets go within that
const DAMAGED = "What this browser kept as your identity is not as it should be. Forget it, and make another."

export interface OwnIdentity {
  /** The public key as people compare it: 64 hexadecimal digits in groups. */
  readonly fingerprint: string
  /** Seconds since 1970. */
  readonly createdAt: number
  /** The name in its certificate, by which it goes; undefined if it has none. */
  readonly name: string | undefined
}

interface Stored {
  readonly pair: CryptoKeyPair
  readonly createdAt: number
  /** DER, its own first. */
  readonly certificates: readonly Octets[]
}

/** The identity that this browser has; undefined if it has none. StorageError. */
export async function findIdentity(): Promise<OwnIdentity | undefined> {
  const stored = await find()
  return stored && shownOf(stored)
}

/** The identity that this browser has, made now if there was none. StorageError says why it cannot have one. */
export async function makeIdentity(): Promise<OwnIdentity> {
  const pair = await createKeyPair()
  const createdAt = Math.floor(Date.now() / 1000)
  await inStore(STORE, "readwrite", async (store) => {
    // Another tab may have made one meanwhile.
    if ((await done(store.getKey(OWN))) === undefined) await done(store.put(encodeStored({ pair, createdAt, certificates: [] }), OWN))
  })
  const stored = await find()
  if (stored === undefined) throw new StorageError(DAMAGED)
  return shownOf(stored)
}

/** What an authority needs to certify the identity, in PEM. MisuseError for a name or address that is none. */
export async function requestCertificate(name: string, address: string): Promise<string> {
  const { pair } = await theOne()
  return toPem(REQUEST, await createRequest(await hostKeyOf(pair), name, address))
}

/**
 * The identity goes by the certificates in a PEM file from now on, its own first; by none if there are none. Raises
 * CertificateError if they cannot be used in a meeting, and nothing is changed.
 */
export async function certify(file: string, text: string): Promise<OwnIdentity> {
  const certificates = partsOf(file, text, CERTIFICATE)
  if (!certificates.length) throw new CertificateError(`${file} holds no certificate in PEM.`)
  const { pair } = await theOne()
  try {
    nameIn(certificates, (await hostKeyOf(pair)).key)
  } catch (error) {
    if (!(error instanceof ConferenceError)) throw error
    throw new CertificateError(`This certificate cannot be used in a meeting: ${error.message}`)
  }
  return change({ certificates })
}

/** The identity goes by the name that its user gives, from now on. StorageError. */
export function uncertify(): Promise<OwnIdentity> {
  return change({ certificates: [] })
}

async function change(part: Pick<Stored, "certificates">): Promise<OwnIdentity> {
  const { pair, createdAt } = await theOne()
  const changed = { pair, createdAt, ...part }
  await inStore(STORE, "readwrite", async (store) => {
    await done(store.put(encodeStored(changed), OWN))
    await done(store.delete(STAY)) // a leaf that goes by something else is not ours any more
  })
  return shownOf(changed)
}

async function theOne(): Promise<Stored> {
  const stored = await find()
  if (stored === undefined) throw new StorageError("This browser has no identity any more.")
  return stored
}

/** The name by which an identity goes. PolicyError if members would refuse such a leaf. */
function nameIn(certificates: readonly Octets[], key: Octets): string {
  const name = certifiedName(certificates, key)
  if (checkedName(name) !== name) throw new CertificateError("The name in it is not in its normal form (NFC).")
  return name
}

/** From now on nobody knows us again by it. StorageError. */
export async function forgetIdentity(): Promise<void> {
  await inStore(STORE, "readwrite", (store) => done(store.clear()))
}

/** The identity while it takes part in a meeting. */
export class Borrowed {
  readonly key: HostKey
  /** The leaf that it had when this meeting was last left without a goodbye, as in a crash: it claims that. */
  readonly former: Former | undefined
  readonly certificates: readonly Octets[]
  /** The name in the first of them, by which we go; undefined if there is none. */
  readonly name: string | undefined
  readonly #meetingId: string
  readonly #release: () => void
  #isOver = false
  /** What is being kept, one after the other. */
  #keeping: Promise<unknown> = Promise.resolve()

  constructor(
    key: HostKey,
    certificates: readonly Octets[],
    meetingId: string,
    former: Former | undefined,
    release: () => void,
  ) {
    this.key = key
    this.certificates = certificates
    this.name = certificates.length ? nameIn(certificates, key.key) : undefined
    this.former = former
    this.#meetingId = meetingId
    this.#release = release
  }

  /** It has a leaf in this group, with this participant id. */
  entered({ groupId, participantId }: Former): void {
    const stay = { meeting_id: this.#meetingId, group_id: groupId, participant_id: participantId }
    this.#keep((store) => done(store.put(stay, STAY)))
  }

  /** The stay is over, and another tab may take part. */
  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#keep((store) => done(store.delete(STAY)))
    void this.#keeping.then(this.#release)
  }

  /** What cannot be kept is done without: who comes back waits for its old leaf to go. */
  #keep(work: (store: IDBObjectStore) => Promise<unknown>): void {
    this.#keeping = this.#keeping.then(() => inStore(STORE, "readwrite", work)).catch(() => undefined)
  }
}

/**
 * The identity's key for this meeting, in which it takes part once (RFC 9420 §7.3). StorageError says why it cannot:
 * among other things because another tab has it.
 */
export async function borrowIdentity(meetingId: string): Promise<Borrowed> {
  const { pair, certificates } = await theOne()
  const release = await hold(`conclave identity ${meetingId}`)
  if (release === undefined) {
    throw new StorageError("Your identity takes part in this meeting already, in another tab of this browser.")
  }
  return new Borrowed(await hostKeyOf(pair), certificates, meetingId, await findFormer(meetingId), release)
}

/** Looked for when the lock is held: no other tab writes it. */
async function findFormer(meetingId: string): Promise<Former | undefined> {
  const record = await inStore(STORE, "readonly", (store) => done<unknown>(store.get(STAY)))
  if (typeof record !== "object" || record === null) return undefined
  const { meeting_id, group_id: groupId, participant_id: participantId } = record as Record<string, unknown>
  if (meeting_id !== meetingId || !(groupId instanceof Uint8Array) || typeof participantId !== "string") return undefined
  if (decodeBase64url(participantId)?.length !== ID_SIZE) return undefined
  return { groupId: own(groupId), participantId }
}

/** Take the lock of this name; undefined if another has it. It is let go of with this worker at the latest. */
function hold(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const wanted = { signal: AbortSignal.timeout(TAKEN_AFTER_MS) }
    navigator.locks
      .request(name, wanted, () => new Promise<void>((release) => resolve(release)))
      .catch(() => resolve(undefined))
  })
}

async function find(): Promise<Stored | undefined> {
  const record = await inStore(STORE, "readonly", (store) => done<unknown>(store.get(OWN)))
  if (record === undefined) return undefined
  const stored = decodeStored(record)
  if (stored === undefined || !(await belongTogether(stored))) throw new StorageError(DAMAGED)
  return stored
}

function encodeStored({ pair, createdAt, certificates }: Stored): object {
  return { pair, created_at: createdAt, ...(certificates.length && { certificates }) }
}

function decodeStored(record: unknown): Stored | undefined {
  if (typeof record !== "object" || record === null) return undefined
  const { pair: kept, created_at: createdAt, certificates = [], ...more } = record as Record<string, unknown>
  const pair = keptKeyPair(kept)
  if (Object.keys(more).length || pair === undefined) return undefined
  if (typeof createdAt !== "number" || !Number.isSafeInteger(createdAt) || createdAt < 0) return undefined
  if (!Array.isArray(certificates) || !certificates.every((each) => each instanceof Uint8Array)) return undefined
  return { pair, createdAt, certificates: certificates.map(own) }
}

async function belongTogether({ pair, certificates }: Stored): Promise<boolean> {
  const { key, sign } = await hostKeyOf(pair)
  if (certificates.length && !isOf(certificates, key)) return false
  const probe = utf8("probe")
  return isSigned(key, await sign(probe), probe)
}

function isOf(certificates: readonly Octets[], key: Octets): boolean {
  try {
    return nameIn(certificates, key) !== ""
  } catch (error) {
    if (error instanceof ConferenceError) return false
    throw error
  }
}

async function shownOf({ pair, createdAt, certificates }: Stored): Promise<OwnIdentity> {
  const { key } = await hostKeyOf(pair)
  const name = certificates.length ? nameIn(certificates, key) : undefined
  return { fingerprint: hex(key).match(/.{4}/g)!.join(" "), createdAt, name }
}
