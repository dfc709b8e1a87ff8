/**
 * The keys that were compared, kept by this browser (docs/identity.md, "The files"). Each look and each change is one
 * transaction, so that two tabs lose nothing of each other.
 */

import type { Octets } from "../bytes.ts"
import { StorageError } from "./errors.ts"
import { decodeRecord, encodeRecord, type KnownKey, KnownKeys, MAX_KNOWN } from "./known_keys.ts"
import { done, inStore } from "./storage.ts"

const STORE = "known_keys"
const FULL = `This browser remembers ${MAX_KNOWN} keys already; forget some.`

export interface Kept {
  readonly known: KnownKeys
  /** How many records are not of the form that they should have. They are left as they are, and vouch for nobody. */
  readonly damaged: number
}

/** All that is remembered. StorageError if it cannot be read. */
export async function readKnownKeys(): Promise<Kept> {
  const records: unknown[] = await inStore(STORE, "readonly", (store) => done(store.getAll(null, MAX_KNOWN + 1)))
  if (records.length > MAX_KNOWN) throw new StorageError(FULL)
  const known = records.map(decodeRecord)
  const sound = known.filter((each) => each !== undefined)
  return { known: new KnownKeys(sound), damaged: known.length - sound.length }
}

/** They were compared. StorageError, and nothing is changed. */
export async function rememberKeys(compared: readonly KnownKey[]): Promise<void> {
  await inStore(STORE, "readwrite", async (store) => {
    for (const each of compared) await done(store.put(encodeRecord(each)))
    if ((await done(store.count())) > MAX_KNOWN) throw new StorageError(FULL)
  })
}

/** They count as never compared. StorageError. */
export async function forgetKeys(keys: readonly Octets[]): Promise<void> {
  await inStore(STORE, "readwrite", async (store) => {
    for (const key of keys) await done(store.delete(key))
  })
}

/** What cannot be read is given up. StorageError. */
export async function forgetDamagedKeys(): Promise<void> {
  await inStore(STORE, "readwrite", async (store) => {
    const damaged: IDBValidKey[] = []
    await eachOf(store.openCursor(), (cursor) => decodeRecord(cursor.value) ?? damaged.push(cursor.primaryKey))
    for (const key of damaged) await done(store.delete(key))
  })
}

function eachOf(
  request: IDBRequest<IDBCursorWithValue | null>,
  look: (cursor: IDBCursorWithValue) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    request.onerror = () => reject(request.error)
    request.onsuccess = () => {
      const cursor = request.result
      if (cursor === null) return resolve()
      look(cursor)
      cursor.continue()
    }
  })
}
