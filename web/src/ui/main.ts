/** A plain page, so that meetings can be tried. */

import { createMeeting } from "../conference/create.ts"
import { ConferenceError } from "../conference/errors.ts"
import { AUDIO, CAMERA } from "../conference/frames.ts"
import { MeetingLink } from "../conference/link.ts"
import { Meeting, type MeetingView, showTile, type Tile } from "../conference/meeting.ts"
import { whyUnsupported } from "../conference/support.ts"

const page = document.querySelector<HTMLElement>("#page")!

function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

function showHome(): void {
  const problem = element("p", { role: "alert" })
  const create = element("button", { id: "create", textContent: "New meeting" })
  create.onclick = async () => {
    try {
      location.assign((await createMeeting()).spell())
    } catch (error) {
      problem.textContent = error instanceof ConferenceError ? error.message : "The meeting could not be made."
    }
  }
  page.replaceChildren(element("h1", { textContent: "Conclave" }), create, problem)
}

function showLobby(link: MeetingLink): void {
  const name = element("input", { id: "name", required: true, maxLength: 64, autocomplete: "off" })
  const passphrase = element("input", { id: "passphrase", type: "password", hidden: !link.hasPassphrase })
  const form = element(
    "form",
    {},
    element("label", { textContent: "Your name " }, name),
    passphrase,
    element("button", { id: "join", textContent: "Join" }),
  )
  form.onsubmit = async (event) => {
    event.preventDefault()
    const tracks = await devices()
    const options = { link: link.spell(), passphrase: link.hasPassphrase ? passphrase.value : null, name: name.value }
    showMeeting(new Meeting({ ...options, ...tracks }), link)
  }
  page.replaceChildren(element("h1", { textContent: "Conclave" }), form)
}

async function devices(): Promise<{ microphone: MediaStreamTrack | null; camera: MediaStreamTrack | null }> {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } })
    return { microphone: stream.getAudioTracks()[0] ?? null, camera: stream.getVideoTracks()[0] ?? null }
  } catch {
    return { microphone: null, camera: null }
  }
}

function showMeeting(meeting: Meeting, link: MeetingLink): void {
  const status = element("p", { id: "status" })
  const tiles = element("div", { className: "tiles" })
  const code = element("p", { id: "code" })
  const roster = element("ul", { id: "roster" })
  const messages = element("ul", { id: "messages" })
  const text = element("input", { id: "text" })
  const chat = element("form", {}, text, element("button", { textContent: "Send" }))
  const leave = element("button", { id: "leave", textContent: "Leave", onclick: () => meeting.leave() })
  const rotate = element("button", { id: "rotate", textContent: "Rotate keys", onclick: () => meeting.rotate() })
  const say = (sentence: string) => messages.append(element("li", { textContent: sentence }))
  chat.onsubmit = (event) => {
    event.preventDefault()
    meeting.chat(text.value)
    text.value = ""
  }
  page.replaceChildren(status, leave, rotate, tiles, code, roster, messages, chat)
  const videos = new Map<string, { video: HTMLVideoElement; stream: MediaStream }>()
  let epoch: number | undefined
  meeting.onChange = (view) => {
    status.textContent = `${view.ended ?? view.phase}, epoch ${view.epoch}, ${view.isConnected ? "connected" : "away"}`
    if (view.epoch !== epoch) {
      epoch = view.epoch
      void meeting.code().then((shown) => {
        if (shown?.epoch === meeting.view.epoch) code.textContent = `${shown?.epoch}: ${shown?.code}`
      })
    }
    roster.replaceChildren(
      ...view.rows.map((row) =>
        element("li", { textContent: `${row.person?.name ?? row.participantId}: ${row.standing}` }),
      ),
    )
    showTiles(view, tiles, videos)
  }
  meeting.onEvent = (event) => {
    if (event.type === "chat received") say(`${event.sender.name}: ${event.text}`)
    if (event.type === "waiting for") say(event.text)
    if (event.type === "warned") say(event.text)
    if (event.type === "ended") say(event.reason)
  }
  meeting.onRefused = say
  meeting.onConnection = (_, why) => say(why)
  Object.assign(globalThis, { meeting, link, AUDIO, CAMERA })
}

function showTiles(
  view: MeetingView,
  tiles: HTMLElement,
  videos: Map<string, { video: HTMLVideoElement; stream: MediaStream }>,
): void {
  const wanted = new Map<string, Tile>(
    view.tiles.filter(({ kind }) => kind === "video").map((tile) => [`${tile.owner}/${tile.kidContext}`, tile]),
  )
  for (const [key, { video }] of videos) {
    if (wanted.has(key)) continue
    video.parentElement?.remove()
    videos.delete(key)
  }
  for (const [key, tile] of wanted) {
    if (videos.get(key)?.stream === tile.stream) continue
    videos.get(key)?.video.parentElement?.remove()
    const video = element("video", { autoplay: true, muted: true, playsInline: true })
    video.dataset["owner"] = tile.owner
    const name = view.rows.find(({ participantId }) => participantId === tile.owner)?.person?.name ?? ""
    tiles.append(element("figure", { className: "tile" }, video, element("figcaption", { textContent: name })))
    videos.set(key, { video, stream: tile.stream })
    showTile(video, tile)
  }
}

async function begin(): Promise<void> {
  const problem = await whyUnsupported()
  if (problem !== undefined) return page.replaceChildren(element("p", { textContent: problem }))
  if (!location.pathname.startsWith("/m/")) return showHome()
  try {
    showLobby(MeetingLink.parse(location.href))
  } catch (error) {
    const sentence = error instanceof ConferenceError ? error.message : "This link cannot be used."
    page.replaceChildren(element("p", { role: "alert", textContent: sentence }))
  }
}

void begin()
