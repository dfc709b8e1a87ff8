/**
 * The kinds of field that messages have. A kind encodes, decodes strictly, and knows its longest encoding; the
 * types of messages are inferred from it, so that each is declared once.
 */

import { decodeBase64url, encodeBase64url, type Octets } from "../bytes.ts"
import { type ErrorCode, MessageError } from "./errors.ts"
import type { Json } from "./json.ts"

export interface Kind<T> {
  /** Characters of the longest encoding. */
  readonly longest: number
  encode(value: T): Json
  decode(value: Json): T
}

export type TypeOf<K> = K extends Kind<infer T> ? T : never
export type Fields = Readonly<Record<string, Kind<never>>>
type Values<F> = { readonly [N in keyof F]: TypeOf<F[N]> }

function refuse(code: ErrorCode, explanation: string): never {
  throw new MessageError(code, explanation)
}

/** What a value is in JSON's words; never its content, which may be long or private. */
function named(value: unknown): string {
  if (value === null) return "null"
  if (Array.isArray(value)) return "a list"
  return { boolean: "a boolean", number: "a number", string: "a string" }[typeof value as string] ?? "an object"
}

function stringOf(value: Json): string {
  return typeof value === "string" ? value : refuse("wrong_type", `expected a string, got ${named(value)}`)
}

/** A kind whose values stand in JSON as they are. */
function plain<T extends Json>(longest: number, check: (value: Json) => T): Kind<T> {
  return { longest, encode: check, decode: check }
}

/** A whole number, 0 to `maximum`. */
export function integer(maximum = Number.MAX_SAFE_INTEGER): Kind<number> {
  return plain(String(maximum).length, (value) => {
    if (typeof value !== "number" || !Number.isInteger(value)) {
      return refuse("wrong_type", `expected a whole number, got ${named(value)}`)
    }
    if (value < 0 || value > maximum || Object.is(value, -0)) {
      return refuse("out_of_range", `expected a number from 0 to ${maximum}`)
    }
    return value
  })
}

export const flag: Kind<boolean> = plain(5, (value) =>
  typeof value === "boolean" ? value : refuse("wrong_type", "expected true or false"),
)

function base64urlLength(size: number): number {
  return Math.floor((size * 8 + 5) / 6)
}

/** `minimum` to `maximum` bytes, as canonical unpadded base64url (RFC 4648 §5). */
export function octetString(minimum: number, maximum: number): Kind<Octets> {
  const explanation = `expected ${minimum} to ${maximum} bytes`
  return {
    longest: 2 + base64urlLength(maximum),
    encode(value) {
      if (!(value instanceof Uint8Array)) return refuse("wrong_type", `expected bytes, got ${named(value)}`)
      if (value.length < minimum || value.length > maximum) {
        return refuse("wrong_length", `${explanation}, got ${value.length}`)
      }
      return encodeBase64url(value)
    },
    decode(value) {
      const text = stringOf(value)
      if (text.length < base64urlLength(minimum) || text.length > base64urlLength(maximum)) {
        return refuse("wrong_length", `${explanation} as base64url`)
      }
      return decodeBase64url(text) ?? refuse("not_base64url", "expected canonical unpadded base64url")
    },
  }
}

/** 16 bytes as base64url; stays a string, for it is only ever compared and looked up. */
export const identifier: Kind<string> = plain(24, (value) => {
  const text = stringOf(value)
  if (text.length !== 22) return refuse("wrong_length", `an identifier has 22 characters, got ${text.length}`)
  if (decodeBase64url(text) === undefined) return refuse("not_base64url", "expected canonical unpadded base64url")
  return text
})

/** `minimum` to `maximum` characters of printable ASCII, line ends, tabs, or what `pattern` says. */
export function text(maximum: number, minimum = 0, pattern = /^[\t\r\n\x20-\x7e]*$/): Kind<string> {
  return plain(2 + 6 * maximum, (value) => {
    const given = stringOf(value)
    if (given.length < minimum || given.length > maximum) {
      return refuse("wrong_length", `expected ${minimum} to ${maximum} characters, got ${given.length}`)
    }
    return pattern.test(given)
      ? given
      : refuse("unknown_value", "the string has a character that does not belong there")
  })
}

/**
 * 1 to `maximum` Unicode code points, none a surrogate and none a control but tab and line feed.
 *
 * Without the other controls, what a member writes cannot steer the terminal in which another reads it.
 */
export function prose(maximum: number): Kind<string> {
  return plain(2 + 12 * maximum, (value) => {
    const given = stringOf(value)
    const length = Array.from(given).length
    if (length === 0 || length > maximum) return refuse("wrong_length", `expected 1 to ${maximum} characters`)
    return /[\p{Cc}\p{Cs}]/u.test(given.replace(/[\t\n]/g, ""))
      ? refuse("unknown_value", "a control character or half a surrogate pair")
      : given
  })
}

/** One of the words. */
export function oneOf<const W extends string>(words: readonly W[]): Kind<W> {
  return plain(2 + Math.max(...words.map((word) => word.length)), (value) => {
    const given = stringOf(value)
    return words.find((word) => word === given) ?? refuse("unknown_value", `expected one of ${words.join(", ")}`)
  })
}

/** What `kind` says, or null. */
export function nullable<T>(kind: Kind<T>): Kind<T | null> {
  return {
    longest: Math.max(4, kind.longest),
    encode: (value) => (value === null ? null : kind.encode(value)),
    decode: (value) => (value === null ? null : kind.decode(value)),
  }
}

/** At most `maximum` of `kind`. */
export function listOf<T>(kind: Kind<T>, maximum: number): Kind<readonly T[]> {
  const checked = <V>(value: V): V & readonly unknown[] => {
    if (!Array.isArray(value)) return refuse("wrong_type", `expected a list, got ${named(value)}`)
    if (value.length > maximum) {
      return refuse("wrong_length", `expected at most ${maximum} items, got ${value.length}`)
    }
    return value
  }
  return {
    longest: 2 + maximum * (1 + kind.longest),
    encode: (value) => checked(value).map((item) => kind.encode(item as T)),
    decode: (value) => checked(value).map((item) => kind.decode(item as Json)),
  }
}

/** Convert a field; an error is prefixed with where it stands. */
function at<T>(name: string, convert: () => T): T {
  try {
    return convert()
  } catch (error) {
    if (error instanceof MessageError) throw new MessageError(error.code, `${name}: ${error.message}`)
    throw error
  }
}

export interface Struct<T> extends Kind<T> {
  readonly fieldNames: readonly string[]
}

/** An object with exactly these fields, whatever their order; written in theirs. */
export function struct<F extends Record<string, Kind<any>>>(fields: F): Struct<Values<F>> {
  const names = Object.keys(fields)
  return {
    fieldNames: names,
    longest: 2 + names.reduce((total, name) => total + name.length + 4 + fields[name]!.longest, 0),
    encode(value) {
      const given = value as Record<string, unknown>
      return Object.fromEntries(
        names.map((name) => [name, at(name, () => fields[name]!.encode(given[name]))]),
      )
    },
    decode(value) {
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        return refuse("wrong_type", `expected an object, got ${named(value)}`)
      }
      const missing = names.filter((name) => !Object.hasOwn(value, name))
      if (missing.length) return refuse("missing_field", `there is no ${missing.join(", ")}`)
      const extra = Object.keys(value).length - names.length
      if (extra) return refuse("extra_field", `${extra} field(s) too many`)
      return Object.fromEntries(
        names.map((name) => [name, at(name, () => fields[name]!.decode(value[name] as Json))]),
      ) as Values<F>
    },
  }
}

/** A `struct` that also has the field `type`, which says which it is. */
export function tagged<const N extends string, F extends Record<string, Kind<any>>>(
  type: N,
  fields: F,
): Struct<{ readonly type: N } & Values<F>> {
  return struct({ type: oneOf([type]), ...fields }) as Struct<{ readonly type: N } & Values<F>>
}
