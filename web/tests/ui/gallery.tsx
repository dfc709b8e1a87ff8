/** Shows the view that the query names, as in gallery.html?grid, or `showView` is asked for. What its user wants is kept in `wanted`. */

import "../../src/ui/styles.css"
import { render } from "preact"
import { type Level, type Recognition, shown } from "../../src/conference/recognition.ts"
import { GreenRoomPage } from "../../src/ui/green_room.tsx"
import { HomePage, SentencePage } from "../../src/ui/home_page.tsx"
import { MeetingPage, type MeetingPageProps } from "../../src/ui/meeting_page.tsx"
import { noticesOf, type Warning } from "../../src/ui/notices.ts"
import type { Code, Devices, EpochLine, Memory, Person, Picture, Scene, Security } from "../../src/ui/scene.ts"

const wanted: unknown[][] = []
Object.assign(globalThis, { wanted })

/** Intents that are only written down. */
const intents: any = new Proxy(
  {},
  {
    get:
      (_, name) =>
      (...rest: unknown[]) =>
        void wanted.push([name, ...rest]),
  },
)

const link = `https://meet.example/m/${"4N8uRwDq6eXyHk1LoTz0Mw"}#1.83.0.AAECAwQFBgcICQoLDA0ODw.EBESExQVFhcYGRobHB0eHw`
const NAMES = [
  "Ada Lovelace",
  "Bob",
  "Cem Yılmaz",
  "Dana K.",
  "Emmy Noether",
  "Fatima",
  "Grace Hopper",
  "Hedy",
  "Ines",
  "Jun",
  "Kofi",
  "Lin",
]
const ODD_NAMES = [
  "Ada Lovelace",
  "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewissenhaft",
  "عبد الرحمن بن محمد",
  "👩‍🚀 Valentina",
  "王小明",
  "שרה לוי",
]
const begun = new Date(2026, 4, 12, 14, 2, 7).getTime()

/** 2026-11-21 */
const COMPARED_AT = 1_795_262_400

function recognised(level: Level, name: string, more: Partial<Recognition> = {}): Recognition {
  const isKnown = level === "compared before" || level === "changed key"
  const comparedAt = isKnown ? COMPARED_AT : undefined
  return { level, name, callsItself: name, authority: "", address: "", comparedAt, why: "", ...more }
}

function person(at: number, more: Partial<Person> = {}): Person {
  return {
    key: String(at),
    participantId:
      ["4N8uRwDq6eXyHk1LoTz0Mw", "z7CjPbA5sGvUd2Fi9xEnKQ", "Qm3rT8yLw1XcVb6NhJ5kPg"][at] ??
      `${at}x9fKqLw2BvNcTz7RmYs4g`,
    leaf: at,
    recognition: recognised(at === 0 ? "you" : "new", NAMES[at]!),
    isSelf: at === 0,
    isHost: at === 0,
    cameSince: false,
    hasCertificate: at === 1,
    standing: "aligned",
    presence: "member",
    hasHandUp: false,
    isRecording: false,
    level: 0,
    isMuted: false,
    hasCameraOff: false,
    unreadable: undefined,
    cannotReadUs: undefined,
    ...more,
  }
}

/** A picture that is painted here: a person before a wall, more or less. */
function picture(at: number, isScreen = false): Picture {
  return {
    key: `picture ${at} ${isScreen}`,
    participantId: person(at).participantId,
    isScreen,
    isSelf: at === 0,
    isLive: true,
    attach: (video) => {
      const canvas = document.createElement("canvas")
      canvas.width = 640
      canvas.height = 360
      const paint = canvas.getContext("2d")!
      const draw = () => (isScreen ? paintScreen(paint) : paintPerson(paint, at))
      draw()
      setInterval(draw, 200)
      video.srcObject = canvas.captureStream(5)
    },
  }
}

function paintPerson(paint: CanvasRenderingContext2D, at: number): void {
  const hue = at * 67 + 30
  const wall = paint.createLinearGradient(0, 0, 640, 360)
  wall.addColorStop(0, `hsl(${hue} 18% 72%)`)
  wall.addColorStop(1, `hsl(${hue} 22% 48%)`)
  paint.fillStyle = wall
  paint.fillRect(0, 0, 640, 360)
  paint.fillStyle = `hsl(${hue + 180} 25% 32%)`
  paint.beginPath()
  paint.ellipse(320, 380, 170, 140, 0, 0, 7)
  paint.fill()
  paint.fillStyle = `hsl(${20 + at * 3} 38% ${72 - at * 4}%)`
  paint.beginPath()
  paint.ellipse(320, 175, 68, 84, 0, 0, 7)
  paint.fill()
}

function paintScreen(paint: CanvasRenderingContext2D): void {
  paint.fillStyle = "#fbfaf7"
  paint.fillRect(0, 0, 640, 360)
  paint.fillStyle = "#23302c"
  paint.fillRect(48, 44, 260, 18)
  paint.fillStyle = "#c9cdc6"
  for (let line = 0; line < 8; line++) paint.fillRect(48, 92 + 28 * line, 380 + 130 * Math.sin(line * 2.3), 9)
}

const devices: Devices = {
  microphones: [
    { id: "m1", label: "Built-in microphone" },
    { id: "m2", label: "Headset" },
  ],
  cameras: [{ id: "c1", label: "FaceTime HD camera" }],
  speakers: [{ id: "s1", label: "Loudspeakers" }],
  microphone: "m1",
  camera: "c1",
  speaker: "s1",
}

function line(epoch: number, more: Partial<EpochLine>): EpochLine {
  const usual = {
    generation: 1,
    joined: [],
    left: [],
    returned: [],
    committer: "Ada Lovelace",
    isOwn: true,
    hasNewRules: false,
    switchedAfterMs: 38,
    tookMs: undefined,
  }
  return { ...usual, epoch, at: begun + epoch * 47_000, ...more }
}

const timeline = [
  line(41, { tookMs: 84 }),
  line(40, { left: ["Hedy"], switchedAfterMs: 12 }),
  line(39, { committer: "Bob", isOwn: false, switchedAfterMs: 312 }),
  line(38, { joined: ["Fatima", "Emmy Noether"], switchedAfterMs: 141 }),
  line(37, { joined: ["Hedy"], committer: "Bob", isOwn: false }),
  line(36, { committer: "Cem Yılmaz", isOwn: false }),
  line(35, { joined: ["Dana K."] }),
  line(34, { joined: ["Ada Lovelace"], committer: undefined, switchedAfterMs: 3, tookMs: 240 }),
]

const QR = "CONCLAVE:1:41:7F3KQV8MZ24DXRA9THCWZ2F1KJB4GTPE47SF2N5T7YJHHBD4APN0"

const codesPeople: Code["people"] = NAMES.slice(1, 5).map((name, at) => ({ key: `key ${at}`, name }))

const memory: Memory = {
  people: [],
  damaged: 0,
  problem: undefined,
  authorities: [],
  authoritiesTold: [],
  authoritiesProblem: undefined,
  identity: undefined,
  identityRequest: undefined,
  identityProblem: undefined,
}
const fullMemory: Memory = {
  people: NAMES.slice(1, 5).map((name, at) => ({
    key: new Uint8Array(32).fill(at),
    name,
    comparedAt: COMPARED_AT - at * 9 * 86_400,
  })),
  damaged: 1,
  problem: undefined,
  authorities: ["Example Org", "Freie Presse e. V."].map((name, at) => ({
    id: String(at).repeat(32),
    name,
    fingerprint: Array.from({ length: 32 }, (_, octet) => (0xa0 + ((octet * 7 + at) % 80)).toString(16)).join(":").toUpperCase(),
    ends: COMPARED_AT + 900 * 86_400,
    listEnds: [COMPARED_AT - 86_400, undefined][at],
  })),
  authoritiesTold: ["Certificates of Example Org are trusted from now on."],
  authoritiesProblem: undefined,
  identity: {
    fingerprint: "a04d d5b1 7c22 90fe 6f0b 33d8 41c9 e07a 5b96 2f14 88cd 0a61 d3e7 7b49 1c05 f2a8",
    createdAt: COMPARED_AT - 40 * 86_400,
    name: undefined,
  },
  identityRequest: undefined,
  identityProblem: undefined,
}

const security: Security = {
  epoch: 41,
  codes: [
    { code: "N2WQD-Z3F68-K7C4A-H97TM", qr: QR, epoch: 40, people: codesPeople },
    { code: "7F3KQ-V8MZ2-4DXRA-9THCW", qr: QR, epoch: 41, people: codesPeople },
  ],
  comparison: undefined,
  hasDiffered: false,
  hasLastingKey: false,
  isServerToldWhoSpeaks: false,
  suites: [
    { layer: "MLS", name: "MLS_256_XWING_AES256GCM_SHA512_Ed25519", note: "Hybrid: X25519 and ML-KEM-768" },
    { layer: "SFrame", name: "AES_256_GCM_SHA512_128", note: "Every frame, under the keys of the epoch" },
    {
      layer: "SRTP",
      name: "AEAD_AES_256_GCM · DTLS 1.2",
      note: "Between you and the server, around what is encrypted already",
    },
    { layer: "TLS", name: "https", note: "Signaling; your browser's padlock knows the version" },
  ],
  timeline,
  isRotating: false,
}

interface Draft extends Partial<Omit<Scene, "security">> {
  readonly security?: Partial<Security>
  readonly warnings?: readonly Warning[]
  readonly isStale?: boolean
  readonly deviceProblem?: string
}

function scene(draft: Draft = {}): Scene {
  const { warnings = [], isStale = false, deviceProblem, ...given } = draft
  const people =
    given.people ??
    [0, 1, 2, 3, 4].map((at) => person(at, at === 1 ? { level: 0.3 } : at === 3 ? { isMuted: true } : {}))
  const secured = { ...security, ...given.security }
  const whole: Scene = {
    stage: "meeting",
    waitingFor: undefined,
    away: undefined,
    link,
    server: "https://meet.example",
    people,
    pictures: [0, 1, 2, 4].map((at) => picture(at)),
    chat: [],
    reactions: [],
    notices: [],
    hosting: undefined,
    devices,
    isMicrophoneOn: true,
    isCameraOn: true,
    isScreenShared: false,
    isHandUp: false,
    isPaused: false,
    wasIn: true,
    ended: undefined,
    memory,
    ...given,
    security: secured,
  }
  const notices = noticesOf({
    people,
    pausedForS: whole.isPaused ? 60 : undefined,
    away: whole.away,
    hasDiffered: secured.hasDiffered,
    isStale,
    waiting: whole.hosting?.waiting.map(({ recognition }) => shown(recognition)) ?? [],
    damaged: whole.memory.damaged,
    joinedSinceCompared: secured.comparison?.joinedSince ?? [],
    returning: undefined,
    deviceProblem,
    warnings,
    dismissed: new Set(),
  })
  return { ...whole, notices }
}

const chat = [
  { name: "Bob", text: "Good morning. Shall we compare the code first?" },
  { name: "Ada Lovelace", text: "Yes. Epoch 41, I read: seven, F, three, K, Q …" },
  { name: "Cem Yılmaz", text: "The same here." },
  {
    name: "Cem Yılmaz",
    text: "Notes are at https://notes.example/board/2026-05-12-a-rather-long-address-that-has-to-wrap",
  },
  { name: "Ada Lovelace", text: "Thank you! 🎉👩‍👩‍👧" },
  { name: "שרה לוי", text: "שלום לכולם, epoch 41 אצלי" },
  { name: "Bob", text: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft\nand a second line" },
].map((said, key) => ({ ...said, key, isSelf: said.name.startsWith("Ada"), at: begun + key * 20_000 }))

const comparison = { whom: "everybody" as const, epoch: 40, at: begun + 1_700_000, joinedSince: [], leftSince: [] }
const compared = (at: number) => person(at, at === 0 ? {} : { recognition: recognised("compared before", NAMES[at]!) })
const hosting = {
  isLocked: false,
  hasLobby: true,
  canNameHosts: true,
  waiting: [
    { participantId: "w1", recognition: recognised("compared before", "Hedy") },
    { participantId: "w2", recognition: recognised("new", "Ines Okafor-Lindqvist") },
  ],
}

const MEETINGS: Readonly<Record<string, Omit<MeetingPageProps, "intents">>> = {
  connecting: { scene: scene({ stage: "connecting" }) },
  waiting: {
    scene: scene({
      stage: "waiting",
      waitingFor: "A host has to let you in. Your name reaches them sealed; the server cannot read it.",
    }),
  },
  ended: { scene: scene({ stage: "ended", ended: "You left the meeting." }) },
  "not-let-in": {
    scene: scene({
      stage: "ended",
      wasIn: false,
      ended: "The members cannot open the request to join: the link or the passphrase is another one.",
    }),
  },
  namesakes: { scene: scene({ people: [0, 1, 2].map((at) => person(at, at === 2 ? { recognition: recognised("new", "bob") } : {})) }) },
  alone: { scene: scene({ people: [person(0)], pictures: [picture(0)] }) },
  two: { scene: scene({ people: [person(0), person(1)], pictures: [picture(0), picture(1)] }) },
  grid: {
    scene: scene({
      people: [0, 1, 2, 3, 4].map((at) =>
        person(at, {
          ...(at === 1 ? { level: 0.3 } : {}),
          ...(at === 2 ? { hasHandUp: true } : {}),
          ...(at === 3 ? { isMuted: true } : {}),
        }),
      ),
      reactions: [{ key: 1, participantId: person(4).participantId, emoji: "👏" }],
    }),
  },
  many: { scene: scene({ people: NAMES.map((_, at) => person(at)), pictures: [0, 2, 5, 7].map((at) => picture(at)) }) },
  crowd: {
    scene: scene({
      people: Array.from({ length: 30 }, (_, at) =>
        person(at, {
          recognition: recognised(at === 0 ? "you" : "new", ODD_NAMES[at] ?? `Guest ${at}`),
          isMuted: at % 3 === 1,
        }),
      ),
      pictures: [0, 1, 2, 5, 7].map((at) => picture(at)),
    }),
    panel: "people",
  },
  speaker: { scene: scene(), layout: "speaker" },
  screen: { scene: scene({ pictures: [picture(1, true), ...[0, 1, 2].map((at) => picture(at))] }) },
  chat: { scene: scene({ chat }), panel: "chat" },
  people: {
    scene: scene({
      people: [
        ...[0, 1, 2, 3].map(compared),
        person(4, { hasHandUp: true }),
        person(5, { isMuted: true, presence: "away", cannotReadUs: { reason: "no key", epoch: 40, sinceS: 12 } }),
      ],
    }),
    panel: "people",
  },
  host: { scene: scene({ hosting }), panel: "people" },
  security: { scene: scene(), panel: "security" },
  compared: { scene: scene({ people: [0, 1, 2, 3].map(compared), security: { comparison } }), panel: "security" },
  "new-since": {
    scene: scene({
      people: [...[0, 1, 2].map(compared), person(5, { cameSince: true })],
      security: { comparison: { ...comparison, joinedSince: ["Fatima"] } },
    }),
    panel: "security",
  },
  known: {
    scene: scene({
      people: [compared(0), compared(1), person(2), compared(3)],
      security: { hasLastingKey: true },
      memory: fullMemory,
    }),
    panel: "security",
  },
  "changed-key": {
    scene: scene({
      people: [compared(0), person(1, { recognition: recognised("changed key", "Bob") }), compared(2)],
      security: { hasLastingKey: true },
    }),
    panel: "people",
  },
  "keeps-nothing": {
    scene: scene({
      people: [person(0), person(1)],
      memory: { ...memory, problem: "This browser keeps nothing for this page, as in some private windows." },
    }),
    panel: "security",
  },
  ghost: {
    scene: scene({
      people: [
        ...[0, 1, 2].map((at) => person(at)),
        person(7, { standing: "in the group but not in the room", presence: undefined }),
      ],
    }),
    panel: "security",
  },
  stranger: {
    scene: scene({
      people: [
        ...[0, 1, 2].map((at) => person(at)),
        person(9, {
          leaf: undefined,
          recognition: undefined,
          standing: "in the room but not in the group",
          presence: "member",
        }),
      ],
    }),
    panel: "security",
  },
  split: { scene: scene({ isPaused: true }), panel: "security" },
  differs: { scene: scene({ security: { hasDiffered: true } }) },
  pending: {
    scene: scene({
      people: [...[0, 1, 2].map((at) => person(at)), person(5, { standing: "pending", presence: "waiting" })],
    }),
    panel: "security",
  },
  trouble: {
    scene: scene({
      people: [
        person(0),
        person(1, { cannotReadUs: { reason: "no key", epoch: 41, sinceS: 12 } }),
        person(2, { unreadable: { reason: "bad tag", epoch: undefined, sinceS: 7 } }),
        person(3, { presence: "away" }),
      ],
      pictures: [picture(0), picture(1)],
    }),
    panel: "security",
  },
  away: { scene: scene({ away: "The connection to the server is lost. It comes back by itself." }) },
  unplugged: {
    scene: scene({ isCameraOn: false, deviceProblem: "The camera is gone: it was unplugged, or the system took it away." }),
  },
  stale: { scene: scene({ isStale: true }) },
  recording: { scene: scene({ people: [person(0), person(1, { isRecording: true }), person(2)] }) },
  warned: {
    scene: scene({
      warnings: [
        {
          key: "w",
          level: "warning",
          text: "The server announces a stream of Bob as Cem Yılmaz's. The keys say whose it is: Bob's.",
        },
      ],
      security: { comparison: { ...comparison, joinedSince: ["Fatima"] } },
    }),
  },
}

const greenRoom = {
  link,
  isHost: false,
  hasPassphrase: false,
  hasAudioLevels: false,
  devices,
  isMicrophoneOn: true,
  isCameraOn: true,
  level: 0.2,
  preview: picture(0),
  deviceProblem: undefined,
  isBusy: false,
  problem: undefined,
  memory,
  isLasting: false,
}
const home = { isBusy: false, problem: undefined, wantsToken: false, offersLobby: true }

const OTHERS: Readonly<Record<string, () => preact.JSX.Element>> = {
  home: () => <HomePage home={home} intents={intents} />,
  "home-options": () => (
    <HomePage
      home={{ ...home, wantsToken: true, problem: "This server lets only those make meetings who have its token." }}
      intents={intents}
      isUnfolded
    />
  ),
  "green-room": () => <GreenRoomPage room={greenRoom} intents={intents} firstName="Ada Lovelace" />,
  "green-room-host": () => (
    <GreenRoomPage room={{ ...greenRoom, isHost: true, hasPassphrase: true }} intents={intents} />
  ),
  "green-room-known": () => (
    <GreenRoomPage
      room={{ ...greenRoom, memory: fullMemory, isLasting: true }}
      intents={intents}
      firstName="Ada Lovelace"
    />
  ),
  "green-room-bare": () => (
    <GreenRoomPage
      room={{
        ...greenRoom,
        preview: undefined,
        isCameraOn: false,
        isMicrophoneOn: false,
        devices: { ...devices, cameras: [], microphones: [], speakers: [] },
        deviceProblem: "This page may not use the camera or the microphone. You can allow it beside the address.",
      }}
      intents={intents}
    />
  ),
  unsupported: () => (
    <SentencePage
      title="Another browser, please"
      sentence="This browser cannot encrypt media by itself. Use Firefox 128, Chromium 141, Safari 17 or newer, or a terminal: conclave join."
    />
  ),
  "bad-link": () => (
    <SentencePage
      title="This link is not whole"
      sentence="The part of the link after # is incomplete. Copy the whole link again."
    />
  ),
}

/** Views that a click or two opens, and one that is looked at further down. */
const OPENED: Readonly<Record<string, readonly [view: string, ...clicks: string[]]>> = {
  enlarged: ["security", "#show-large"],
  settings: ["grid", "#more", ".menu-item:last-child"],
  menu: ["grid", "#more"],
  reactions: ["grid", "#react"],
  "host-actions": ["host", "[aria-label='What to do about Bob']"],
  "security-below": ["security"],
  "known-people": ["known", "#memory"],
  "known-below": ["known"],
}

const soon = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))

/** Show this view, and be done when its pictures are there. */
async function showView(wantedName: string): Promise<void> {
  const page = document.querySelector("#page")!
  const [name, ...clicks] = OPENED[wantedName] ?? [wantedName]
  const meeting = MEETINGS[name]
  render(null, page)
  render(meeting === undefined ? OTHERS[name]!() : <MeetingPage {...meeting} intents={intents} />, page)
  const videos = [...document.querySelectorAll("video")]
  await Promise.all(videos.map((video) => new Promise((resolve) => video.requestVideoFrameCallback(resolve))))
  await soon()
  for (const click of clicks) {
    document.querySelector<HTMLElement>(click)!.click()
    await soon()
  }
  if (wantedName.endsWith("below")) document.querySelector(".panel-body")!.scrollTo(0, 1e6)
}

const views = [MEETINGS, OTHERS, OPENED].flatMap(Object.keys)
Object.assign(globalThis, { views, showView })
const asked = location.search.slice(1)
if (views.includes(asked)) void showView(asked)
