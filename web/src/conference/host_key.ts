/**
 * The keys that make this browser the host of its meetings. They cannot be exported, not by this page either: what is
 * stored is a handle that the browser keeps to itself.
 */

const DATABASE = "conclave"
const STORE = "host keys"

function opened<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error("the browser's storage failed"))
  })
}

async function store(mode: IDBTransactionMode): Promise<{ readonly keys: IDBObjectStore; readonly database: IDBDatabase }> {
  const request = indexedDB.open(DATABASE, 1)
  request.onupgradeneeded = () => request.result.createObjectStore(STORE)
  const database = await opened(request)
  return { keys: database.transaction(STORE, mode).objectStore(STORE), database }
}

export async function keepHostKey(meetingId: string, hostKey: CryptoKeyPair): Promise<void> {
  const { keys, database } = await store("readwrite")
  await opened(keys.put(hostKey, meetingId))
  database.close()
}

/** The host's key of a meeting that was made here; undefined for any other. */
export async function findHostKey(meetingId: string): Promise<CryptoKeyPair | undefined> {
  const { keys, database } = await store("readonly")
  const found = (await opened(keys.get(meetingId))) as CryptoKeyPair | undefined
  database.close()
  return found
}
