/**
 * One's own identity: a signature key that is the same in every meeting, so that members who compared it know us
 * again. Nothing is kept until its user wants that, and then a handle: the browser signs by it, and no script can
 * take a copy of it. Like conference/own_identity.py, but for that.
 */

import { decodeBase64url, hex, own, utf8 } from "../bytes.ts"
import type { Former } from "./entrance.ts"
import { StorageError } from "./errors.ts"
import { createKeyPair, type HostKey, hostKeyOf, isSigned } from "./signing.ts"
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
}

interface Stored {
  readonly pair: CryptoKeyPair
  readonly createdAt: number
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
    if ((await done(store.getKey(OWN))) === undefined) await done(store.put({ pair, created_at: createdAt }, OWN))
  })
  const stored = await find()
  if (stored === undefined) throw new StorageError(DAMAGED)
  return shownOf(stored)
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
  readonly #meetingId: string
  readonly #release: () => void
  #isOver = false
  /** What is being kept, one after the other. */
  #keeping: Promise<unknown> = Promise.resolve()

  constructor(key: HostKey, meetingId: string, former: Former | undefined, release: () => void) {
    this.key = key
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
  const stored = await find()
  if (stored === undefined) throw new StorageError("This browser has no identity any more.")
  const release = await hold(`conclave identity ${meetingId}`)
  if (release === undefined) {
    throw new StorageError("Your identity takes part in this meeting already, in another tab of this browser.")
  }
  return new Borrowed(await hostKeyOf(stored.pair), meetingId, await findFormer(meetingId), release)
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
  if (stored === undefined || !(await belongTogether(stored.pair))) throw new StorageError(DAMAGED)
  return stored
}

function decodeStored(record: unknown): Stored | undefined {
  if (typeof record !== "object" || record === null) return undefined
  const { pair, created_at: createdAt, ...more } = record as Record<string, unknown>
  if (Object.keys(more).length || typeof pair !== "object" || pair === null) return undefined
  if (typeof createdAt !== "number" || !Number.isSafeInteger(createdAt) || createdAt < 0) return undefined
  const { privateKey, publicKey } = pair as Record<string, unknown>
  if (!(privateKey instanceof CryptoKey) || !(publicKey instanceof CryptoKey)) return undefined
  // One that could be copied is not one that this page has made.
  const isPrivate = privateKey.type === "private" && !privateKey.extractable && privateKey.usages.join() === "sign"
  const isEd25519 = [privateKey, publicKey].every(({ algorithm }) => algorithm.name === "Ed25519")
  return isPrivate && isEd25519 && publicKey.type === "public" ? { pair: { privateKey, publicKey }, createdAt } : undefined
}

async function belongTogether(pair: CryptoKeyPair): Promise<boolean> {
  const { key, sign } = await hostKeyOf(pair)
  const probe = utf8("probe")
  return isSigned(key, await sign(probe), probe)
}

async function shownOf({ pair, createdAt }: Stored): Promise<OwnIdentity> {
  const digits = hex((await hostKeyOf(pair)).key)
  return { fingerprint: digits.match(/.{4}/g)!.join(" "), createdAt }
}
