/** `code` of an `error` message: first what a decoder finds, then what the room's state forbids. */
export const errorCodes = [
  "not_json",
  "too_deep",
  "too_large",
  "duplicate_field",
  "unknown_type",
  "missing_field",
  "extra_field",
  "wrong_type",
  "out_of_range",
  "wrong_length",
  "not_base64url",
  "unknown_value",
  "unsupported_protocol",
  "out_of_state",
  "wrong_generation",
  "wrong_epoch",
  "wrong_term",
  "contradiction",
  "not_leader",
  "unknown_participant",
  "cannot_resume",
  "replaced",
  "room_full",
  "too_many",
  "media",
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** What came is not a message: no such type, a field too many, a length out of bounds. */
export class MessageError extends Error {
  override readonly name = "MessageError"
  readonly code: ErrorCode

  constructor(code: ErrorCode, explanation: string) {
    super(explanation)
    this.code = code
  }
}
