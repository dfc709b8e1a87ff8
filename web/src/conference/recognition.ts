/**
 * How well we know who is here (DESIGN §9): by a certificate, by a key that was compared, or not at all. The twin of
 * conference/recognition.py.
 *
 * Each member's own matter: what is shown of somebody is decided here, in this browser, and by nobody's word. A name
 * that somebody chose itself is never shown like one that was verified: a sign of ours stands before every name
 * (`signOf`), where no name can put one.
 */

import type { KnownKey, KnownKeys } from "./known_keys.ts"
import type { Person } from "./roster.ts"

/** From good to bad. */
export type Level =
  | "you"
  | "verified by certificate"
  | "compared before"
  /** Nobody here has compared this key, nor one of that name. */
  | "new"
  /** It has a certificate of an authority that is trusted, and that does not hold: told loudly. */
  | "certificate not valid"
  /** It comes by a name that was compared, with another key: told loudly. */
  | "changed key"

/** What is made of a chain of certificates. */
export type CertificateStanding =
  | "valid"
  | "of an authority that is not trusted here"
  | "not valid at this time"
  | "revoked"
  | "without a current revocation list"
  | "invalid"

export interface Verdict {
  readonly standing: CertificateStanding
  /** Who vouches: the root's organisation. Empty unless "valid". */
  readonly authority: string
  /** The mail address in the certificate, if there is one. Empty unless "valid". */
  readonly address: string
  /** What is wrong, as a sentence; empty if nothing is. */
  readonly why: string
}

/** How well one member is known. */
export interface Recognition {
  readonly level: Level
  /** What it is called here: in the certificate, or when it was compared; else what it calls itself. */
  readonly name: string
  readonly callsItself: string
  /** Who vouches for the name; empty if nobody does. */
  readonly authority: string
  readonly address: string
  /** When this key was compared, or the one that the name had then: seconds since 1970. */
  readonly comparedAt: number | undefined
  /** What is wrong with its certificate, as a sentence. */
  readonly why: string
}

/** `verdict` is on its certificates, undefined if it has none. */
export function recognise(
  person: Pick<Person, "name" | "signatureKey">,
  known: KnownKeys,
  { isUs = false, verdict }: { readonly isUs?: boolean; readonly verdict?: Verdict | undefined } = {},
): Recognition {
  const same = known.find(person.signatureKey)
  const namesakes = known.called(person.name)
  const newest = same ?? namesakes.reduce((one, other) => (other.comparedAt > one.comparedAt ? other : one), namesakes[0]!)
  const level = isUs ? "you" : levelOf(verdict, same, namesakes)
  return {
    level,
    name: same !== undefined && level === "compared before" ? same.name : person.name,
    callsItself: person.name,
    authority: verdict?.authority ?? "",
    address: verdict?.address ?? "",
    comparedAt: newest?.comparedAt,
    why: verdict?.why ?? "",
  }
}

/** What is wrong goes before what is right; a certificate before a key that was compared. */
function levelOf(verdict: Verdict | undefined, same: KnownKey | undefined, namesakes: readonly KnownKey[]): Level {
  if (same === undefined && namesakes.length) return "changed key"
  if (verdict?.standing === "valid") return "verified by certificate"
  if (verdict !== undefined && verdict.standing !== "of an authority that is not trusted here") {
    return "certificate not valid"
  }
  return same === undefined ? "new" : "compared before"
}

/** Whether the name is more than its own word. */
export function isVerified({ level }: Recognition): boolean {
  return level === "you" || level === "verified by certificate" || level === "compared before"
}

/** Whether the user has to be told. */
export function isAlarming({ level }: Recognition): boolean {
  return level === "changed key" || level === "certificate not valid"
}

/** What stands before the name, and says what it is worth. */
export function signOf(found: Recognition): string {
  if (isVerified(found)) return "✔ "
  return isAlarming(found) ? "⚠ ~" : "~"
}

/** The name behind its sign. */
export function shown(found: Recognition): string {
  return signOf(found) + found.name
}

/** What else is to be said, in a few words. */
export function remarkOf(found: Recognition): string {
  const day = spellDay(found.comparedAt)
  switch (found.level) {
    case "verified by certificate": {
      const address = found.address && ` <${found.address}>`
      return `verified by ${found.authority}${address}${found.comparedAt === undefined ? "" : `, compared ${day}`}`
    }
    case "compared before":
      return `compared ${day}${found.callsItself === found.name ? "" : `, now calls itself ${found.callsItself}`}`
    case "changed key":
      return `NOT THE KEY that was compared ${day}`
    case "certificate not valid":
      return `CERTIFICATE NOT VALID: ${found.why}`
    case "new":
      return `new, not verified${found.why && `: ${found.why}`}`
    case "you":
      return "you"
  }
}

/** "on 2026-11-21", of seconds since 1970. */
export function spellDay(seconds: number | undefined): string {
  // A number may be too large for a date.
  const date = new Date(1000 * (seconds ?? NaN))
  return Number.isNaN(date.getTime()) ? "before" : `on ${date.toISOString().slice(0, 10)}`
}
