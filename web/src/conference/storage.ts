/**
 * What this browser keeps of Conclave: IndexedDB, in one database (docs/identity.md, "The files"). Nothing in it is a
 * secret that a script could read: keys are handles that the browser keeps to itself.
 */

import { StorageError } from "./errors.ts"

const DATABASE = "conclave"
const VERSION = 3
/** Key path by store; null: keys are given. */
const STORES = { "host keys": null, known_keys: "key", identity: null, authorities: "id" } as const
export type StoreName = keyof typeof STORES

/**
 * Carry `work` out in one transaction, all of it or nothing. It may await the store's requests, by `done`, and nothing
 * else. StorageError if this browser keeps nothing, as in some private windows; what `work` throws undoes the rest.
 */
export async function inStore<T>(
  name: StoreName,
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => Promise<T>,
): Promise<T> {
  const database = await kept(open())
  try {
    const transaction = database.transaction(name, mode)
    const finished = ended(transaction)
    finished.catch(() => undefined) // awaited below, unless `work` fails first
    let result: T
    try {
      result = await work(transaction.objectStore(name))
    } catch (error) {
      if (transaction.error === null) abort(transaction)
      throw error instanceof DOMException ? unavailable(error) : error
    }
    await kept(finished)
    return result
  } finally {
    database.close()
  }
}

/** A request's result. */
export function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new DOMException("the storage failed"))
  })
}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, VERSION)
  request.onupgradeneeded = () => {
    for (const [name, keyPath] of Object.entries(STORES)) {
      if (!request.result.objectStoreNames.contains(name)) request.result.createObjectStore(name, { keyPath })
    }
  }
  const database = await done(request)
  database.onversionchange = () => database.close() // a page that is newer than we is not kept waiting
  return database
}

function ended(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error ?? new DOMException("the storage failed"))
  })
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort()
  } catch {
    // It had ended by itself.
  }
}

async function kept<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw unavailable(error)
  }
}

function unavailable(cause: unknown): StorageError {
  return new StorageError("This browser keeps nothing for this page, as in some private windows.", { cause })
}
