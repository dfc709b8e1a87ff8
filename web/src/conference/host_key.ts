/**
 * The keys that make this browser the host of its meetings. They cannot be exported, not by this page either: what is
 * stored is a handle that the browser keeps to itself.
 */

import { keptKeyPair } from "./signing.ts"
import { done, inStore } from "./storage.ts"

const STORE = "host keys"

/** StorageError if this browser keeps nothing. */
export async function keepHostKey(meetingId: string, hostKey: CryptoKeyPair): Promise<void> {
  await inStore(STORE, "readwrite", (keys) => done(keys.put(hostKey, meetingId)))
}

/** The host's key of a meeting that was made here; undefined for any other, and if it is damaged. StorageError. */
export async function findHostKey(meetingId: string): Promise<CryptoKeyPair | undefined> {
  return keptKeyPair(await inStore<unknown>(STORE, "readonly", (keys) => done(keys.get(meetingId))))
}
