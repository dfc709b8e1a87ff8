/**
 * The worker through which all media passes (WebRTC Encoded Transform): it holds the keys of media, seals what is
 * sent and opens what comes. What it cannot seal or open goes nowhere.
 */

import { equal, type Octets } from "../bytes.ts"
import { SFrameProtocolError } from "../sframe/errors.ts"
import { DecryptHealth } from "./decrypt_health.ts"
import { EpochKeys } from "./epoch_keys.ts"
import { EqualSizes } from "./equal_sizes.ts"
import type { KeyOrder } from "./events.ts"
import { CLEAR, CODECS, KINDS, type MediaKind } from "./frames.ts"
import { ReceivePath, type TileKey } from "./receive_path.ts"
import type { FromKeys, FromMedia, ToKeys, ToMedia, TransformOptions } from "./worker_messages.ts"

// The DOM's types know nothing of workers.
interface EncodedFrame {
  data: ArrayBuffer
  getMetadata(): { readonly mimeType?: string; readonly rtpTimestamp?: number }
}
interface Transformer {
  readonly options: TransformOptions
  readonly readable: ReadableStream<EncodedFrame>
  readonly writable: WritableStream<EncodedFrame>
  sendKeyFrameRequest?(): Promise<unknown>
  generateKeyFrame?(): Promise<unknown>
}
interface Scope {
  onmessage: ((event: MessageEvent<ToMedia>) => void) | null
  onrtctransform: ((event: { readonly transformer: Transformer }) => void) | null
  postMessage(message: FromMedia): void
}
const scope = globalThis as unknown as Scope

const COUNTS_EVERY_S = 1
const MAX_EPOCHS = 64 // whose owners are remembered: more than have keys

const now = () => performance.now() / 1000

// --- keys ---------------------------------------------------------------------------------------------------

class Keys {
  readonly groupId: Octets
  readonly epochKeys: EpochKeys
  readonly #owners = new Map<number, ReadonlyMap<number, string>>()

  constructor(groupId: Octets, suite: number) {
    this.groupId = groupId
    this.epochKeys = new EpochKeys(suite, onSwitched)
  }

  newest = 0

  setOwners(epoch: number, owners: ReadonlyMap<number, string>): void {
    this.newest = epoch
    this.#owners.set(epoch, owners)
    if (this.#owners.size > MAX_EPOCHS) this.#owners.delete(Math.min(...this.#owners.keys()))
  }

  ownerOf(epoch: number, leaf: number): string | undefined {
    return this.#owners.get(epoch)?.get(leaf)
  }
}

let keys: Keys | undefined
let maySend = false
let keysPort: MessagePort | undefined
let wakers: (() => void)[] = []
let timer: ReturnType<typeof setTimeout> | undefined

function tellKeys(message: FromKeys): void {
  keysPort?.postMessage(message)
}

function carryOut(order: KeyOrder): void {
  if (order.type === "adopt") {
    // A group that was begun afresh shares nothing with the one before.
    if (keys === undefined || !equal(keys.groupId, order.groupId)) {
      keys?.epochKeys.erase()
      keys = new Keys(order.groupId, order.suite)
    }
    keys.setOwners(order.secret.epoch, order.owners)
    keys.epochKeys.adopt(order.secret, order.removes, now())
    for (const wake of wakers.splice(0)) wake()
  } else if (order.type === "acknowledged") keys?.epochKeys.acknowledged(order.epoch)
  else keys?.epochKeys.erase()
  setTimer()
}

function setTimer(): void {
  clearTimeout(timer)
  const due = keys?.epochKeys.nextTimer() ?? Infinity
  if (due === Infinity) return
  timer = setTimeout(() => {
    keys?.epochKeys.handleTimer(now())
    setTimer()
  }, Math.max(0, 1000 * (due - now())))
}

function keysChanged(withinS: number): Promise<void> {
  return new Promise((resolve) => {
    wakers.push(resolve)
    setTimeout(() => {
      wakers = wakers.filter((each) => each !== resolve)
      resolve()
    }, 1000 * withinS)
  })
}

function onKeysMessage({ data }: MessageEvent<ToKeys>): void {
  if (data.type === "order") {
    carryOut(data.order)
    tellKeys({ type: "done", number: data.number })
  } else if (data.type === "may send") {
    if (data.on && !maySend) requestKeyFrames()
    maySend = data.on
  } else {
    for (const { mid, participant_id, kid_context } of data.slots) {
      path.announce(mid, participant_id, kid_context)
      health.announce(mid, participant_id, kid_context, now())
    }
  }
}

// --- sending ------------------------------------------------------------------------------------------------

const senders = new Map<number, Transformer>()
const work = { sealed: 0, sealMs: 0, opened: 0, openMs: 0, unsealed: 0 }

function onSwitched(epoch: number): void {
  requestKeyFrames()
  scope.postMessage({ type: "switched", epoch })
}

/** The next picture is a key frame: under new keys, who has just come can begin with it. */
function requestKeyFrames(): void {
  for (const [kidContext, transformer] of senders) {
    if (KINDS[kidContext] !== "video") continue
    // Not there in Chromium; where it is, it fails while nothing is being sent, and then the first picture is one.
    if (transformer.generateKeyFrame) transformer.generateKeyFrame().catch(() => undefined)
    else scope.postMessage({ type: "key frame", kidContext })
  }
}

/** Whether it is encoded as all is here, whatever the server has negotiated; some browsers do not say. */
function isOurs(kind: MediaKind, mimeType: string | undefined): boolean {
  return mimeType === undefined || mimeType.toLowerCase() === CODECS[kind]
}

async function seal(kidContext: number, sizes: EqualSizes, frame: EncodedFrame): Promise<boolean> {
  const kind = KINDS[kidContext]
  const sending = keys?.epochKeys
  const data = new Uint8Array(frame.data)
  if (
    kind === undefined ||
    sending?.sendingEpoch === undefined ||
    !maySend ||
    !isOurs(kind, frame.getMetadata().mimeType) ||
    data.length < CLEAR[kind]
  ) {
    work.unsealed++
    return false
  }
  const began = performance.now()
  const sent = kind === "audio" ? sizes.padded(data) : data
  frame.data = (await sending.seal(kidContext, sent, CLEAR[kind])).buffer
  work.sealed++
  work.sealMs += performance.now() - began
  return true
}

// --- receiving ----------------------------------------------------------------------------------------------

/** By mid. */
const receivers = new Map<string, { readonly transformer: Transformer; readonly connection: number }>()
const bindings = new Map<number, () => void>()
let connection = 0
let bindRequests = 0

const path = new ReceivePath({
  now,
  open: (frame, clear) => {
    const held = keys?.epochKeys
    if (held === undefined) throw new SFrameProtocolError("unknown key", "there are no keys yet", true)
    return held.open(frame, clear, now())
  },
  ownerOf: (epoch, leaf) => keys?.ownerOf(epoch, leaf),
  keysChanged,
  bind: (mid: string, tile: TileKey, rtpTimestamp: number) =>
    new Promise((resolve) => {
      const request = bindRequests++
      bindings.set(request, resolve)
      scope.postMessage({ type: "bind", request, mid, tile, rtpTimestamp })
    }),
  askKeyFrame: (mid) => {
    receivers.get(mid)?.transformer.sendKeyFrameRequest?.().catch(() => undefined)
  },
})
const health = new DecryptHealth(path)

async function open(mid: string, kind: "audio" | "video", frame: EncodedFrame): Promise<boolean> {
  const began = performance.now()
  const { mimeType, rtpTimestamp } = frame.getMetadata()
  if (!isOurs(kind, mimeType)) return false
  const opened = await path.receive(mid, kind, new Uint8Array(frame.data), rtpTimestamp)
  if (opened === undefined) return false
  frame.data = opened.buffer
  work.opened++
  work.openMs += performance.now() - began
  return true
}

// --- the page -----------------------------------------------------------------------------------------------

scope.onrtctransform = ({ transformer }) => {
  const { options, readable, writable } = transformer
  let pass: (frame: EncodedFrame) => Promise<boolean>
  if (options.direction === "send") {
    senders.set(options.kidContext, transformer)
    const sizes = new EqualSizes()
    pass = (frame) => seal(options.kidContext, sizes, frame)
  } else {
    receivers.set(options.mid, { transformer, connection: options.connection })
    pass = async (frame) => options.connection === connection && open(options.mid, options.kind, frame)
  }
  const transform = new TransformStream<EncodedFrame, EncodedFrame>({
    async transform(frame, controller) {
      try {
        if (await pass(frame)) controller.enqueue(frame)
      } catch (error) {
        // A bug of ours costs this frame; an error here would end the stream for good.
        console.error("a frame was dropped", error instanceof Error ? error.name : "")
      }
    },
  })
  // Ends with the connection.
  readable.pipeThrough(transform).pipeTo(writable).catch(() => undefined)
}

scope.onmessage = ({ data }) => {
  if (data.type === "keys") {
    keysPort = data.port
    keysPort.onmessage = onKeysMessage
  } else if (data.type === "bound") {
    bindings.get(data.request)?.()
    bindings.delete(data.request)
  } else {
    connection = data.connection
    path.forget()
    health.forget()
    // Not those of the new one, whose transforms may have come before this word of it.
    for (const [mid, receiver] of receivers) if (receiver.connection !== connection) receivers.delete(mid)
    bindings.clear()
  }
}

function tellCounts(): void {
  const dropped: Record<string, number> = {}
  for (const counts of path.slots().values()) {
    for (const [reason, count] of counts.dropped) dropped[reason] = (dropped[reason] ?? 0) + count
  }
  const troubles = health.troubles(keys?.newest ?? 0, now())
  const tiles = path.tiles()
  const slots = [...path.slots()].flatMap(([mid, { opened, openedAt }]) => {
    const tile = tiles.get(mid)
    return tile && openedAt !== undefined ? [{ mid, tile, opened, quietMs: 1000 * (now() - openedAt) }] : []
  })
  const counts = {
    slots,
    sealed: work.sealed,
    unsealed: work.unsealed,
    opened: work.opened,
    dropped,
    sendingEpoch: keys?.epochKeys.sendingEpoch,
    sealMs: work.sealMs / Math.max(1, work.sealed),
    openMs: work.openMs / Math.max(1, work.opened),
  }
  scope.postMessage({ type: "counts", counts, troubles })
  tellKeys({ type: "troubles", troubles })
  const misnamed = health.newlyMisnamed(now())
  if (misnamed.length) tellKeys({ type: "misnamed", misnamed })
}

setInterval(tellCounts, 1000 * COUNTS_EVERY_S)
