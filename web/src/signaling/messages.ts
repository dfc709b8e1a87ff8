/**
 * The messages of docs/protocol.md, "Signaling messages". A declaration below is the only one of its message:
 * type, encoder and strict decoder come from it.
 */

import { errorCodes, MessageError } from "./errors.ts"
import { type Json, parseJson } from "./json.ts"
import {
  identifier,
  integer,
  listOf,
  nullable,
  octetString,
  oneOf,
  type Struct,
  struct,
  tagged,
  text,
  type TypeOf,
} from "./kinds.ts"

export const PROTOCOL = 1
const MAX_DEPTH = 3 // an object in a list in the message
const MAX_TOKENS = 16384 // strings and brackets in one text; bounds what the parser allocates
const MAX_IDS = 2048 // participants in one list
const MAX_JOINS = 128 // knocks in one `work`; more of them take several
const MAX_BLANKS = 1024 // what a text may have beyond the longest compact encoding of its type
const KIB = 1024
const MIB = 1024 * KIB

// --- Fields that several messages have -----------------------------------------------------------------------

const counter = integer()
const ids = listOf(identifier, MAX_IDS)
const resumeToken = octetString(32, 32)
const groupId = octetString(16, 32)
export const sealedKnock = octetString(1, 16 * KIB)
const commitOctets = octetString(1, 2 * MIB)
const welcomeOctets = octetString(1, 4 * MIB)
const sealedPolicy = octetString(1, 64 * KIB)
const applicationOctets = octetString(1, 64 * KIB)
const sdp = text(256 * KIB, 1)
const mid = text(32, 1, /^[A-Za-z0-9._~-]+$/)
export const kidContext = integer(3)
const dismissReason = oneOf(["unreadable", "policy", "locked", "refused", "unneeded"])

export type DismissReason = TypeOf<typeof dismissReason>

const present = struct({
  participant_id: identifier,
  state: oneOf(["waiting", "member", "away", "left"]),
})
const joinRequest = struct({ participant_id: identifier, knock: sealedKnock })
const stream = struct({ mid, kid_context: kidContext })
const iceUrl = text(
  256,
  1,
  /^(?:stuns?|turns?):(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?(?:\?transport=(?:udp|tcp))?$/,
)
const credential = nullable(text(256, 1, /^[!-~]+$/))
const iceServer = struct({ url: iceUrl, username: credential, credential })
const slot = struct({ mid, participant_id: nullable(identifier), kid_context: nullable(kidContext) })
const room = {
  grace_s: counter,
  generation: counter,
  group_id: nullable(groupId),
  next_epoch: nullable(counter),
  term: counter,
  leader: nullable(identifier),
  participants: listOf(present, MAX_IDS),
}

// --- Client to server ----------------------------------------------------------------------------------------

const clientStructs = {
  join: tagged("join", { protocol: counter }),
  resume: tagged("resume", {
    protocol: counter,
    participant_id: identifier,
    resume_token: resumeToken,
    generation: counter,
    next_epoch: counter,
  }),
  found: tagged("found", { generation: counter, group_id: groupId }),
  knock: tagged("knock", { generation: counter, knock: sealedKnock }),
  commit: tagged("commit", {
    generation: counter,
    term: counter,
    epoch: counter,
    commit: commitOctets,
    welcome: nullable(welcomeOctets),
    sealed_policy: nullable(sealedPolicy),
    joined: ids,
    left: ids,
  }),
  dismiss: tagged("dismiss", { term: counter, participant_id: identifier, reason: dismissReason }),
  hold: tagged("hold", { term: counter, participant_id: identifier }),
  welcomed: tagged("welcomed", { generation: counter, epoch: counter }),
  ack: tagged("ack", { generation: counter, epoch: counter }),
  application: tagged("application", { generation: counter, epoch: counter, message: applicationOctets }),
  lead: tagged("lead", { term: counter }),
  lost: tagged("lost", { generation: counter, epoch: counter }),
  leave: tagged("leave", {}),
  publish: tagged("publish", { sdp, streams: listOf(stream, 8) }),
  resubscribe: tagged("resubscribe", {}),
  subscribed: tagged("subscribed", { sequence: counter, sdp }),
}

// --- Server to client ----------------------------------------------------------------------------------------

const serverStructs = {
  joined: tagged("joined", { participant_id: identifier, resume_token: resumeToken, ...room }),
  resumed: tagged("resumed", room),
  founded: tagged("founded", { generation: counter, group_id: groupId, founder: identifier }),
  closed: tagged("closed", { generation: counter }),
  presence: tagged("presence", {
    participant_id: identifier,
    state: oneOf(["waiting", "member", "away", "left"]),
  }),
  leader: tagged("leader", { term: counter, leader: nullable(identifier) }),
  work: tagged("work", { term: counter, joins: listOf(joinRequest, MAX_JOINS), leaves: ids }),
  entry: tagged("entry", {
    generation: counter,
    epoch: counter,
    term: counter,
    sender: identifier,
    commit: commitOctets,
  }),
  refused: tagged("refused", {
    generation: counter,
    epoch: counter,
    reason: oneOf(["epoch", "term", "generation", "leader"]),
    term: counter,
    next_epoch: counter,
  }),
  welcome: tagged("welcome", {
    generation: counter,
    epoch: counter,
    welcome: welcomeOctets,
    sealed_policy: nullable(sealedPolicy),
  }),
  dismissed: tagged("dismissed", { reason: dismissReason }),
  held: tagged("held", {}),
  acknowledged: tagged("acknowledged", { generation: counter, epoch: counter }),
  application_from: tagged("application_from", {
    generation: counter,
    epoch: counter,
    sender: identifier,
    message: applicationOctets,
  }),
  published: tagged("published", { sdp }),
  subscribe: tagged("subscribe", { sequence: counter, sdp }),
  slots: tagged("slots", { slots: listOf(slot, 1024) }),
  ice_servers: tagged("ice_servers", { servers: listOf(iceServer, 8) }),
  going_down: tagged("going_down", {}),
  error: tagged("error", { code: oneOf(errorCodes), message: text(512) }),
}

type Messages<S> = { [N in keyof S]: TypeOf<S[N]> }
type ClientMessages = Messages<typeof clientStructs>
type ServerMessages = Messages<typeof serverStructs>

export type ClientMessage = ClientMessages[keyof ClientMessages]
export type ServerMessage = ServerMessages[keyof ServerMessages]
/** The message of that `type`. */
export type Client<N extends keyof ClientMessages> = ClientMessages[N]
export type Server<N extends keyof ServerMessages> = ServerMessages[N]
export type Slot = Server<"slots">["slots"][number]

// --- Encode, decode ------------------------------------------------------------------------------------------

/** The compact JSON text of a message. MessageError if a field is out of its limits: a bug of ours. */
export function encodeClient(message: ClientMessage): string {
  return JSON.stringify((clientStructs[message.type] as Struct<ClientMessage>).encode(message))
}

export function encodeServer(message: ServerMessage): string {
  return JSON.stringify((serverStructs[message.type] as Struct<ServerMessage>).encode(message))
}

/** The message that the server sent; MessageError, and nothing else, for any other text. */
export function decodeServer(received: string): ServerMessage {
  return decode(received, serverStructs) as ServerMessage
}

/** The message that a client sent: for tests against the vectors, which hold both directions. */
export function decodeClient(received: string): ClientMessage {
  return decode(received, clientStructs) as ClientMessage
}

function decode(received: string, structs: Readonly<Record<string, Struct<any>>>): unknown {
  const longest = Math.max(...Object.values(structs).map((each) => each.longest))
  checkSize(received, longest)
  const value = parseJson(received, { depth: MAX_DEPTH, tokens: MAX_TOKENS })
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new MessageError("wrong_type", "a message is an object")
  }
  if (!Object.hasOwn(value, "type")) throw new MessageError("missing_field", "there is no type")
  const type: Json = value["type"] as Json
  if (typeof type !== "string") throw new MessageError("wrong_type", "type: expected a string")
  const found = Object.hasOwn(structs, type) ? structs[type] : undefined
  if (found === undefined) throw new MessageError("unknown_type", "the type is none of this direction's")
  checkSize(received, found.longest)
  return found.decode(value)
}

function checkSize(received: string, longest: number): void {
  if (received.length > longest + MAX_BLANKS) {
    throw new MessageError("too_large", `this message has at most ${longest} characters`)
  }
}

export const fieldNames: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries({ ...clientStructs, ...serverStructs }).map(([name, each]) => [name, each.fieldNames]),
)
