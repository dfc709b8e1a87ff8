/**
 * What members tell each other, inside MLS application messages (docs/protocol.md, "End-to-end messages").
 *
 * Envelope: version (1 octet) ‖ length of the JSON text (4 octets) ‖ JSON text ‖ zeros up to a multiple of 256.
 * There is one envelope for a message: what encodes back to other octets is refused. That one comparison keeps out
 * duplicate fields, blanks, `1.0` for `1` and needless escapes, in every language alike.
 */

import { concat, equal, fromUtf8, type Octets, octets, uint32, utf8 } from "../bytes.ts"
import { MessageError } from "../signaling/errors.ts"
import {
  flag,
  identifier,
  integer,
  listOf,
  nullable,
  octetString,
  oneOf,
  prose,
  struct,
  type Struct,
  tagged,
  type TypeOf,
} from "../signaling/kinds.ts"
import { kidContext, sealedKnock } from "../signaling/messages.ts"
import { EnvelopeError, MisuseError } from "./errors.ts"
import { MAX_SIGNED } from "./policy.ts"

const VERSION = 1
const BUCKET = 256
const HEAD_SIZE = 5
const MAX_ENVELOPE = 48 * 1024 // with MLS's framing around it, less than what signaling carries
export const MAX_TROUBLES = 256

const uint32Field = integer(2 ** 32 - 1)
const reason = oneOf(["no key", "bad tag", "replayed", "wrong sender", "nothing received"])
/** One stream of a member that the sender cannot decrypt, of which epoch it has no key, and since how many seconds. */
const trouble = struct({
  leaf: uint32Field,
  kid_context: kidContext,
  reason,
  epoch: nullable(integer()),
  since_s: uint32Field,
})

const structs = {
  chat: tagged("chat", { text: prose(4000) }),
  heartbeat: tagged("heartbeat", {
    epoch: integer(),
    troubles: listOf(trouble, MAX_TROUBLES),
    sent_ms: integer(),
  }),
  recording: tagged("recording", { on: flag }),
  policy_notice: tagged("policy_notice", { signed: octetString(1, MAX_SIGNED) }),
  reaction: tagged("reaction", { emoji: prose(16) }),
  hand: tagged("hand", { raised: flag }),
  claim: tagged("claim", { microphone: flag, camera: flag, screen: flag, lasting_key: flag }),
  mute_request: tagged("mute_request", { participant_id: nullable(identifier) }),
  lobby_request: tagged("lobby_request", { participant_id: identifier, knock: sealedKnock }),
  decision: tagged("decision", {
    participant_id: identifier,
    reference: octetString(32, 64),
    admitted: flag,
    host: octetString(32, 32),
    signature: octetString(64, 64),
  }),
}

export type Reason = TypeOf<typeof reason>
export type Trouble = TypeOf<typeof trouble>
type Messages = { [N in keyof typeof structs]: TypeOf<(typeof structs)[N]> }
export type Message = Messages[keyof Messages]
/** The message of that `type`. */
export type Told<N extends keyof Messages> = Messages[N]

/** The envelope of `message`. MisuseError if one of its fields is out of its limits. */
export function encode(message: Message): Octets {
  let body
  try {
    body = (structs[message.type] as Struct<Message>).encode(message)
  } catch (error) {
    if (error instanceof MessageError) throw new MisuseError(`This ${message.type} cannot be sent: ${error.message}.`)
    throw error
  }
  const text = utf8(JSON.stringify(body))
  const length = HEAD_SIZE + text.length
  return concat(Uint8Array.of(VERSION), uint32(text.length), text, octets(-length & (BUCKET - 1)))
}

/** The message in `envelope`; undefined if its version or type is not known here. EnvelopeError for anything else. */
export function decode(envelope: Uint8Array): Message | undefined {
  if (envelope.length === 0 || envelope.length > MAX_ENVELOPE) {
    throw new EnvelopeError(`An end-to-end message has 1 to ${MAX_ENVELOPE} octets, not ${envelope.length}.`)
  }
  if (envelope[0] !== VERSION) return undefined
  const body = parse(unpad(envelope))
  const kind = typeof body === "object" && body !== null && !Array.isArray(body) ? body["type"] : undefined
  if (typeof kind !== "string") throw new EnvelopeError("An end-to-end message is not a JSON object with a type.")
  if (!Object.hasOwn(structs, kind)) return undefined
  let message: Message
  try {
    message = structs[kind as keyof Messages].decode(body) as Message
  } catch (error) {
    if (error instanceof MessageError) {
      throw new EnvelopeError(`A ${kind} is not of its declared form: ${error.message}.`)
    }
    throw error
  }
  if (!equal(encode(message), envelope)) throw new EnvelopeError(`A ${kind} is not in its canonical form.`)
  return message
}

function unpad(envelope: Uint8Array): Uint8Array {
  if (envelope.length % BUCKET) {
    throw new EnvelopeError(`An end-to-end message has a multiple of ${BUCKET} octets, not ${envelope.length}.`)
  }
  const length = new DataView(envelope.buffer, envelope.byteOffset).getUint32(1)
  const text = envelope.subarray(HEAD_SIZE, HEAD_SIZE + length)
  const padding = envelope.subarray(HEAD_SIZE + text.length)
  if (text.length !== length || padding.length >= BUCKET || padding.some((octet) => octet !== 0)) {
    throw new EnvelopeError("An end-to-end message is not padded as it must be.")
  }
  return text
}

function parse(encoded: Uint8Array): any {
  try {
    return JSON.parse(fromUtf8(encoded) ?? "")
  } catch {
    throw new EnvelopeError("An end-to-end message is not JSON.")
  }
}
