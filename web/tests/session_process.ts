/**
 * Sessions as the page runs them, for tests/meeting to put among its own: a command a line on stdin, an answer a line
 * on stdout. The test turns the clock.
 */

import { createInterface } from "node:readline"
import { decodeBase64url, fromHex, hex, own } from "../src/bytes.ts"
import { EpochKeys } from "../src/conference/epoch_keys.ts"
import type { KeyOrder } from "../src/conference/events.ts"
import { MeetingLink } from "../src/conference/link.ts"
import { Session } from "../src/conference/session.ts"
import { hostKeyOf } from "../src/conference/signing.ts"
import { decodeServer, encodeClient } from "../src/signaling/messages.ts"

interface Seat {
  readonly session: Session
  groupId: string | undefined
  keys: EpochKeys | undefined
}

const seats = new Map<number, Seat>()

async function hostKey(privateKey: string) {
  const pkcs8 = fromHex(`302e020100300506032b657004220420${privateKey}`)
  const sign = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"])
  const { x } = await crypto.subtle.exportKey("jwk", sign)
  const publicKey = await crypto.subtle.importKey("raw", decodeBase64url(x!)!, "Ed25519", true, ["verify"])
  return hostKeyOf({ privateKey: sign, publicKey })
}

async function create({ link: text, passphrase, name, now, wallTimeS, host, chance }: any): Promise<Seat> {
  const link = MeetingLink.parse(text)
  const keys = link.keys(passphrase)
  const ownKeys = host === null ? {} : { hostKey: await hostKey(host) }
  // A linear congruence of the test's seed: the draws need not be good, only the same each time.
  let drawn = chance
  const draw = () => (drawn = (drawn * 16807) % 2147483647) / 2147483647
  const session = await Session.create(link, keys, name, { now, wallTimeS }, ownKeys, draw)
  return { session, groupId: undefined, keys: undefined }
}

/** As the media worker does. */
function carryOut(seat: Seat, order: KeyOrder, now: number): void {
  if (order.type === "adopt") {
    const groupId = hex(order.groupId)
    if (seat.groupId !== groupId) seat.keys = new EpochKeys(order.suite, () => undefined)
    seat.groupId = groupId
    seat.keys?.adopt(order.secret, order.removes, now)
  } else if (order.type === "acknowledged") seat.keys?.acknowledged(order.epoch)
  else seat.keys?.erase()
}

/** Octets as hex, maps and sets as lists. */
function plain(_name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return hex(own(value))
  if (value instanceof Map || value instanceof Set) return [...value]
  return value
}

async function obey(seat: Seat, { what, now, args }: any): Promise<unknown> {
  const { session } = seat
  seat.keys?.handleTimer(now)
  switch (what) {
    case "connected":
      return session.connected({ now, wallTimeS: Date.now() / 1000 })
    case "receive":
      return session.receive(decodeServer(args[0]), now)
    case "timer":
      return session.handleTimer(now)
    case "leave":
      return session.leave()
    case "rotate":
      return session.rotate(now)
    case "seal":
      return hex(own(await seat.keys!.seal(args[0], fromHex(args[1]), 1)))
    case "open":
      return hex(own((await seat.keys!.open(fromHex(args[0]), 1, now)).frame))
    case "say":
      return (session.conversation as any)[args[0]](...args.slice(1))
    case "moderate":
      return (session.moderation as any)[args[0]](...args.slice(1), now)
  }
  throw new Error(`nobody knows how to ${what}`)
}

async function answer(line: string): Promise<unknown> {
  const command = JSON.parse(line)
  if (command.what === "create") seats.set(command.seat, await create(command))
  const seat = seats.get(command.seat)!
  const { session } = seat
  // ts-mls looks at the clock by itself.
  Date.now = () => 1000 * command.wallTimeS
  let result: unknown
  let error: string | undefined
  try {
    if (command.what !== "create") result = await obey(seat, command)
  } catch (thrown) {
    error = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : "?"
  }
  const { messages, events, keyOrders } = session.take()
  for (const order of keyOrders) carryOut(seat, order, command.now)
  const next = session.nextTimer()
  return {
    error,
    result,
    messages: messages.map(encodeClient),
    events,
    next: next === Infinity ? null : next,
    phase: session.phase,
    participantId: session.participantId ?? null,
    epoch: session.group?.epoch,
    authenticator: session.group?.epochAuthenticator,
    names: session.roster.rows(command.now).flatMap(({ person }) => person?.name ?? []),
    standings: session.roster.rows(command.now).map(({ standing }) => standing),
    isIsolated: session.conversation.isIsolated,
    link: session.link.spell(),
    inForce: session.policies.inForce.version,
    isHost: session.moderation.isHost,
    retained: seat.keys?.retained() ?? [],
    sendingEpoch: seat.keys?.sendingEpoch ?? null,
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line), plain)}\n`)
}
