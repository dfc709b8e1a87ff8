/**
 * A JSON parser (RFC 8259) for text that a peer chose: `JSON.parse` neither sees a field that stands twice nor
 * tells 1.0 from 1, and would build whatever a hostile text nests.
 */

import { MessageError } from "./errors.ts"

export type Json = boolean | number | string | null | Json[] | { [name: string]: Json }

export interface Bounds {
  readonly depth: number
  /** Strings and brackets in one text. */
  readonly tokens: number
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y
const BLANKS = /[ \t\n\r]*/y
const CONTROL = /[\x00-\x1f]/
const MAX_INTEGER = Number.MAX_SAFE_INTEGER

class Parser {
  readonly #text: string
  readonly #bounds: Bounds
  #at = 0
  #depth = 0
  #tokens = 0

  constructor(text: string, bounds: Bounds) {
    this.#text = text
    this.#bounds = bounds
  }

  parse(): Json {
    const value = this.#value()
    this.#skip()
    if (this.#at !== this.#text.length) this.#fail()
    return value
  }

  #value(): Json {
    this.#skip()
    const next = this.#text[this.#at]
    if (next === '"') return this.#string()
    if (next === "{") return this.#object()
    if (next === "[") return this.#list()
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length
        return value
      }
    }
    return this.#number()
  }

  #object(): Json {
    this.#open()
    const fields = new Map<string, Json>()
    let isFirst = true
    while (!this.#take("}")) {
      if (!isFirst) this.#expect(",")
      isFirst = false
      this.#skip()
      if (this.#text[this.#at] !== '"') this.#fail()
      const name = this.#string()
      this.#expect(":")
      const value = this.#value()
      if (fields.has(name)) throw new MessageError("duplicate_field", "a field stands twice")
      fields.set(name, value)
    }
    this.#depth--
    // `fromEntries` defines, so a field named __proto__ is a field.
    return Object.fromEntries(fields)
  }

  #list(): Json {
    this.#open()
    const items: Json[] = []
    while (!this.#take("]")) {
      if (items.length) this.#expect(",")
      items.push(this.#value())
    }
    this.#depth--
    return items
  }

  #open(): void {
    this.#at++
    this.#count()
    if (++this.#depth > this.#bounds.depth) {
      throw new MessageError("too_deep", `no message nests more than ${this.#bounds.depth} deep`)
    }
  }

  #string(): string {
    this.#count()
    let end = this.#at
    do {
      end = this.#text.indexOf('"', end + 1)
      if (end < 0) this.#fail()
    } while (this.#isEscaped(end))
    const literal = this.#text.slice(this.#at, end + 1)
    if (CONTROL.test(literal)) this.#fail()
    this.#at = end + 1
    if (!literal.includes("\\")) return literal.slice(1, -1)
    try {
      return JSON.parse(literal) as string
    } catch {
      return this.#fail()
    }
  }

  #isEscaped(at: number): boolean {
    let backslashes = 0
    while (this.#text[at - 1 - backslashes] === "\\") backslashes++
    return backslashes % 2 === 1
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const found = NUMBER.exec(this.#text)
    if (found === null) return this.#fail()
    this.#at = NUMBER.lastIndex
    const [digits, fraction, exponent] = found
    if (fraction !== undefined || exponent !== undefined) {
      throw new MessageError("wrong_type", "a number has no fraction and no exponent")
    }
    const value = Number(digits)
    if (digits.startsWith("-") || !(value <= MAX_INTEGER)) {
      throw new MessageError("out_of_range", `a number is from 0 to ${MAX_INTEGER}`)
    }
    return value
  }

  #count(): void {
    if (++this.#tokens > this.#bounds.tokens) {
      throw new MessageError("too_large", `no message has more than ${this.#bounds.tokens} strings and brackets`)
    }
  }

  #expect(what: string): void {
    if (!this.#take(what)) this.#fail()
  }

  #take(what: string): boolean {
    this.#skip()
    if (this.#text[this.#at] !== what) return false
    this.#at++
    return true
  }

  #skip(): void {
    BLANKS.lastIndex = this.#at
    BLANKS.exec(this.#text)
    this.#at = BLANKS.lastIndex
  }

  #fail(): never {
    throw new MessageError("not_json", `expected JSON; it ends at character ${this.#at}`)
  }
}

const WORDS: readonly (readonly [string, Json])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
]

/** The value that `text` spells; MessageError for what is not JSON or beyond the bounds. */
export function parseJson(text: string, bounds: Bounds): Json {
  return new Parser(text, bounds).parse()
}
