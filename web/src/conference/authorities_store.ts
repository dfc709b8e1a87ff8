/**
 * The authorities that are trusted, kept by this browser (docs/identity.md, "The files"). They are public. What is in
 * them is `authorities`' to read, which a page does not load before there is one.
 */

import type { Octets } from "../bytes.ts"
import { own } from "../bytes.ts"
import { CertificateError, StorageError } from "./errors.ts"
import { done, inStore } from "./storage.ts"

const STORE = "authorities"
export const MAX_AUTHORITIES = 256
const ID = /^[0-9a-f]{32}( revoked)?$/

/** A root, or a revocation list. */
export interface AuthorityRecord {
  /** Of whom: the beginning of its certificate's SHA-256, and that it is a list. */
  readonly id: string
  readonly kind: "root" | "list"
  readonly der: Octets
  /** When a list was made, in seconds since 1970. */
  readonly updated: number
}

/** All that is kept. StorageError if it cannot be read, or is not of our form. */
export async function readAuthorities(): Promise<readonly AuthorityRecord[]> {
  const records: unknown[] = await inStore(STORE, "readonly", (store) => done(store.getAll(null, MAX_AUTHORITIES + 1)))
  return records.map(sound)
}

/** These too. StorageError, or CertificateError `tooOld` if a newer list is kept already, and nothing is changed. */
export async function keepAuthorities(records: readonly AuthorityRecord[], tooOld: string): Promise<void> {
  await inStore(STORE, "readwrite", async (store) => {
    for (const each of records) {
      const kept: unknown = await done(store.get(each.id))
      if (kept !== undefined && sound(kept).updated > each.updated) throw new CertificateError(tooOld)
      await done(store.put(each))
    }
    if ((await done(store.count())) > MAX_AUTHORITIES) {
      throw new StorageError(`This browser keeps ${MAX_AUTHORITIES} authorities and lists already; trust fewer.`)
    }
  })
}

/** They are trusted and heeded no longer. StorageError. */
export async function dropAuthorities(ids: readonly string[]): Promise<void> {
  await inStore(STORE, "readwrite", async (store) => {
    for (const id of ids) await done(store.delete(id))
  })
}

function sound(record: unknown): AuthorityRecord {
  const { id, kind, der, updated } = (record ?? {}) as Partial<AuthorityRecord>
  const isSound =
    typeof id === "string" &&
    ID.test(id) &&
    (kind === "root" || kind === "list") &&
    id.includes(" ") === (kind === "list") &&
    der instanceof Uint8Array &&
    Number.isSafeInteger(updated)
  if (!isSound) throw new StorageError("What this browser keeps of the authorities that are trusted here is damaged.")
  return { id, kind, der: own(der), updated: updated! }
}
