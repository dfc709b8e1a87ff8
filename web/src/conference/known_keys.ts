/**
 * Whose keys were compared (DESIGN §9; the form is in docs/identity.md): the twin of conference/known_keys.py.
 *
 * A key that was compared is known again whatever name it comes under. A name that was compared with one key and
 * comes with another is what has to be told loudly. A value: `known_keys_store` keeps it from meeting to meeting.
 */

import { encodeBase64url, own, type Octets } from "../bytes.ts"
import { MAX_NAME } from "./rules.ts"
import { KEY_SIZE } from "./signing.ts"

export const MAX_KNOWN = 4096

/** A signature key that was compared. */
export interface KnownKey {
  readonly key: Octets
  /** Under which it was compared. */
  readonly name: string
  /** Seconds since 1970. */
  readonly comparedAt: number
}

/** What was compared so far. */
export class KnownKeys {
  static readonly none = new KnownKeys([])
  readonly #byKey: ReadonlyMap<string, KnownKey>
  readonly #byLikeness: ReadonlyMap<string, readonly KnownKey[]>

  constructor(known: Iterable<KnownKey>) {
    this.#byKey = new Map([...known].map((each) => [encodeBase64url(each.key), each]))
    const byLikeness = new Map<string, KnownKey[]>()
    for (const each of this.#byKey.values()) {
      const like = likeness(each.name)
      byLikeness.set(like, [...(byLikeness.get(like) ?? []), each])
    }
    this.#byLikeness = byLikeness
  }

  /** By name. */
  get all(): readonly KnownKey[] {
    return [...this.#byKey.values()].sort(
      (one, other) => one.name.localeCompare(other.name) || one.comparedAt - other.comparedAt,
    )
  }

  find(key: Octets): KnownKey | undefined {
    return this.#byKey.get(encodeBase64url(key))
  }

  /** The keys that were compared under a name that people would take for this one. */
  called(name: string): readonly KnownKey[] {
    return this.#byLikeness.get(likeness(name)) ?? []
  }

  /** These too; the later word about a key counts. */
  with(more: Iterable<KnownKey>): KnownKeys {
    return new KnownKeys([...this.#byKey.values(), ...more])
  }

  without(keys: Iterable<Octets>): KnownKeys {
    const gone = new Set([...keys].map((key) => encodeBase64url(key)))
    return new KnownKeys([...this.#byKey].flatMap(([key, each]) => (gone.has(key) ? [] : [each])))
  }
}

/**
 * What of a name people look at: not its case, its blanks and dots, or how its characters are encoded. Letters of
 * other alphabets that look alike are not folded.
 */
export function likeness(name: string): string {
  // Upper case first, for ß and its like; a final sigma is a sigma.
  const folded = name.normalize("NFKC").toUpperCase().toLowerCase().replaceAll("ς", "σ").normalize("NFKC")
  return folded.replace(/[^\p{L}\p{N}]/gu, "") || folded
}

/** What is kept of a key. */
export function encodeRecord({ key, name, comparedAt }: KnownKey): object {
  return { key, name, compared_at: comparedAt }
}

/** What `encodeRecord` gave; undefined for anything else. */
export function decodeRecord(record: unknown): KnownKey | undefined {
  if (typeof record !== "object" || record === null) return undefined
  if (Object.keys(record).sort().join() !== "compared_at,key,name") return undefined
  const { key, name, compared_at: comparedAt } = record as Record<string, unknown>
  if (!(key instanceof Uint8Array) || key.length !== KEY_SIZE) return undefined
  if (typeof name !== "string" || Array.from(name).length > MAX_NAME) return undefined
  if (typeof comparedAt !== "number" || !Number.isSafeInteger(comparedAt) || comparedAt < 0) return undefined
  return { key: own(key), name, comparedAt }
}
