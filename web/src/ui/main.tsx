/** The page: which view there is, and what leads from one to the next. */

import "./styles.css"
import { render } from "preact"
import { createMeeting } from "../conference/create.ts"
import { ConferenceError, ServerError } from "../conference/errors.ts"
import { findHostKey } from "../conference/host_key.ts"
import { DEFAULT_SUITE, MeetingLink, X25519_SUITE } from "../conference/link.ts"
import { whyUnsupported } from "../conference/support.ts"
import { Recogniser } from "../conference/recogniser.ts"
import { Workers } from "../conference/workers.ts"
import { type GreenRoomIntents, GreenRoomPage } from "./green_room.tsx"
import { type Home, HomePage, SentencePage, type Wishes } from "./home_page.tsx"
import { IdentityChoice } from "./identity_choice.ts"
import { LiveMeeting, memoryOf, ownPicture } from "./live_meeting.ts"
import { LocalMedia } from "./local_media.ts"
import { MeetingPage } from "./meeting_page.tsx"

const page = document.querySelector<HTMLElement>("#page")!
const LEVEL_EVERY_MS = 100

/** What this browser keeps of people, for as long as the page is open. */
const recogniser = new Recogniser()
const identity = new IdentityChoice()
const remembered = Promise.all([recogniser.refresh(), identity.open()])

function show(view: preact.ComponentChild): void {
  render(view, page)
}

function sentenceOf(error: unknown, otherwise: string): string {
  return error instanceof ConferenceError ? error.message : otherwise
}

// --- the first page ---

function showHome(): void {
  let home: Home = { isBusy: false, problem: undefined, wantsToken: false, offersLobby: true }
  const create = async ({ isHybrid, hasPassphrase, hasLobby, hasAudioLevels, token }: Wishes) => {
    draw({ isBusy: true, problem: undefined })
    try {
      const suite = isHybrid ? DEFAULT_SUITE : X25519_SUITE
      const link = await createMeeting({ suite, hasPassphrase, hasAudioLevels, ...(token === undefined ? {} : { token }) })
      history.pushState(null, "", link.spell())
      await showGreenRoom(link, hasLobby)
    } catch (error) {
      const wantsToken = home.wantsToken || (error instanceof ServerError && error.message.includes("token"))
      draw({ isBusy: false, wantsToken, problem: sentenceOf(error, "The meeting could not be made.") })
    }
  }
  const open = (text: string) => {
    try {
      location.assign(MeetingLink.parse(text).spell())
    } catch (error) {
      draw({ problem: sentenceOf(error, "This link cannot be used.") })
    }
  }
  const draw = (part: Partial<Home>) => {
    home = { ...home, ...part }
    show(<HomePage home={home} intents={{ create, open }} />)
  }
  draw({})
}

// --- before joining ---

async function showGreenRoom(link: MeetingLink, wantsLobby = false, firstName = ""): Promise<void> {
  const workers = new Workers()
  const media = new LocalMedia()
  void media.open().then(() => workers.prepare(link.suite)) // the camera first: it takes longest, and asks the user
  const isHost = (await findHostKey(link.meetingId).catch(() => undefined)) !== undefined
  await remembered
  let isJoining = false
  const intents: GreenRoomIntents = {
    setMicrophone: (on) => void media.setMicrophone(on),
    setCamera: (on) => void media.setCamera(on),
    chooseDevice: (kind, id) => void media.choose(kind, id),
    join: async (name, passphrase) => {
      if (isJoining) return
      isJoining = true
      clearInterval(timer)
      await identity.settled // whether to come with it may have been chosen a moment ago
      name = identity.nameOr(name)
      const options = { link, name, passphrase, recogniser, identity, media, workers, wantsLobby }
      showMeeting(new LiveMeeting(options), name)
    },
    setLasting: (on) => void identity.use(on),
    forget: (key) => void recogniser.forget([key]),
    forgetDamaged: () => void recogniser.forgetDamaged(),
    trust: (file) => void recogniser.judge.trust(file),
    distrust: (authority) => void recogniser.judge.distrust(authority),
    askForCertificate: (name, address) => void identity.ask(name, address),
    certify: (file) => void identity.certify(file),
    uncertify: () => void identity.uncertify(),
    forgetIdentity: () => void identity.forget(),
  }
  const draw = () => {
    const camera = media.tracks.camera
    const room = {
      link: link.spell(),
      isHost,
      hasPassphrase: link.hasPassphrase,
      hasAudioLevels: link.hasAudioLevels,
      devices: media.devices,
      isMicrophoneOn: media.isMicrophoneOn,
      isCameraOn: media.isCameraOn,
      level: media.level,
      preview: camera === null ? undefined : ownPicture("", camera, false),
      deviceProblem: media.problem,
      isBusy: false,
      problem: undefined,
      memory: memoryOf(recogniser, identity),
      isLasting: identity.isUsed,
    }
    show(<GreenRoomPage room={room} intents={intents} firstName={firstName} />)
  }
  media.onChange = recogniser.onChange = identity.onChange = draw
  const timer = setInterval(draw, LEVEL_EVERY_MS)
  draw()
}

// --- the meeting ---

function showMeeting(live: LiveMeeting, name: string): void {
  const { meeting } = live
  let isDue = false
  let isOver = false
  live.onChange = () => {
    if (isDue) return
    isDue = true
    queueMicrotask(() => {
      isDue = false
      if (!isOver) show(<MeetingPage scene={live.scene} intents={live.intents} />)
    })
  }
  live.onLink = (link) => history.replaceState(null, "", link)
  live.onAgain = () => {
    isOver = true // a notice of this meeting that passes only now does not bring its page back
    show(null)
    void begin(name)
  }
  live.onChange()
  addEventListener("pagehide", () => meeting.leave(), { once: true })
  // For tests, and for the curious: nothing here that the page could not do anyway.
  Object.assign(globalThis, { meeting })
}

/** `name`: by which the user was here before. */
async function begin(name = ""): Promise<void> {
  const problem = await whyUnsupported()
  if (problem !== undefined) return show(<SentencePage title="Another browser, please" sentence={problem} />)
  if (!location.pathname.startsWith("/m/")) return showHome()
  let link: MeetingLink
  try {
    link = MeetingLink.parse(location.href)
  } catch (error) {
    return show(
      <SentencePage title="This link does not open" sentence={sentenceOf(error, "This link cannot be used.")} />,
    )
  }
  await showGreenRoom(link, false, name)
}

// A link that is pasted over another's changes only the part after #, which loads nothing.
addEventListener("hashchange", () => location.reload())
addEventListener("popstate", () => location.reload())
void begin()
