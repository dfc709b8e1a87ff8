/** Makes the scene of a real meeting, and carries its user's intents to it. */

import { equal, type Octets } from "../bytes.ts"
import { Claims } from "../conference/claims.ts"
import { AUDIO, CAMERA, SCREEN } from "../conference/frames.ts"
import { MeetingLink } from "../conference/link.ts"
import type { Event } from "../conference/events.ts"
import { Meeting, type MeetingView } from "../conference/meeting.ts"
import type { Recogniser } from "../conference/recogniser.ts"
import { isVerified, type Recognition, shown } from "../conference/recognition.ts"
import type { Person as Member, Row } from "../conference/roster.ts"
import { showTile, type Tile } from "../conference/tiles.ts"
import type { HostAction } from "../conference/worker_messages.ts"
import type { Workers } from "../conference/workers.ts"
import { Comparisons } from "./comparison.ts"
import type { IdentityChoice } from "./identity_choice.ts"
import type { LocalMedia } from "./local_media.ts"
import { noticesOf, type Warning } from "./notices.ts"
import { ScreenShare } from "./screen_share.ts"
import type {
  ChatLine,
  Hosting,
  Intents,
  Memory,
  Person,
  Picture,
  Reaction,
  Scene,
  Stage,
  Trouble,
  Whom,
} from "./scene.ts"
import { levelOf, levelsOf, suitesOf, transportOf } from "./statistics.ts"
import { type EpochEvent, Timeline } from "./timeline.ts"
import { notRemembered } from "./words.ts"

const LEVELS_EVERY_MS = 400
const HEARD = 0.001 // of 1: what a decoder makes of silence stays below
const SILENT_AFTER = 10 // looks without any sound, not even noise: who does not tell is taken for muted
const REACTION_MS = 3000
const MOST_WARNINGS = 4
const PASSING_MS = 6000
const GOING_DOWN =
  "The server is being shut down. The meeting goes on if it is back within a minute; until then nobody is heard or seen."
const NOT_ROTATED_AFTER_MS = 10_000
const NOT_ROTATED =
  "Your keys are not new yet: the server has not let this page commit them. It goes on asking, and says so if that takes too long."
const REPORT_VALID_S = 20 // of what somebody cannot decrypt; it is repeated in every heartbeat
const MAX_LINES = 1000

export interface LiveMeetingOptions {
  readonly link: MeetingLink
  readonly name: string
  readonly passphrase: string | null
  readonly recogniser: Recogniser
  readonly identity: IdentityChoice
  readonly media: LocalMedia
  readonly workers: Workers
  /** Turn the lobby on at once, being the host. */
  readonly wantsLobby: boolean
}

interface Reported {
  readonly at: number
  readonly trouble: Trouble
}

export class LiveMeeting {
  readonly meeting: Meeting
  onChange: () => void = () => undefined
  /** The user wants to come back. */
  onAgain: () => void = () => undefined
  /** The link is another now. */
  onLink: (link: string) => void = () => undefined
  #link: MeetingLink
  readonly #name: string
  readonly #media: LocalMedia
  #wantsLobby: boolean
  #wasMember = false
  /** Since when nothing is sent, as most do not confirm our keys. */
  #pausedAt: number | undefined
  #generation = 0
  #waitingFor: string | undefined
  /** Why there is no connection to the server. */
  #away: string | undefined
  readonly #recogniser: Recogniser
  readonly #identity: IdentityChoice
  readonly #comparisons = new Comparisons()
  /** The keys that are known by comparisons in this meeting. */
  readonly #pinned: Octets[] = []
  readonly #timeline = new Timeline()
  #chat: ChatLine[] = []
  #reactions: Reaction[] = []
  #warnings: Warning[] = []
  readonly #dismissed = new Set<string>()
  #isHandUp = false
  readonly #hands = new Set<string>()
  readonly #recording = new Set<string>()
  /** What others cannot decrypt of ours, by participant id. */
  readonly #reported = new Map<string, Reported>()
  #levels: ReadonlyMap<string, number> = new Map()
  /** How many looks long nothing at all was heard, by participant id. */
  readonly #silentFor = new Map<string, number>()
  /** When somebody made more than silence, by participant id, in seconds. */
  readonly #heardAt = new Map<string, number>()
  readonly #claims = new Claims()
  #transport: string | undefined
  readonly #screen: ScreenShare
  #wakeLock: WakeLockSentinel | undefined
  #next = 0
  #timer: ReturnType<typeof setInterval> | undefined

  constructor({ link, name, passphrase, recogniser, identity, media, workers, wantsLobby }: LiveMeetingOptions) {
    this.#link = link
    this.#name = name
    this.#media = media
    this.#recogniser = recogniser
    this.#identity = identity
    recogniser.enterMeeting()
    recogniser.onChange = identity.onChange = () => this.onChange()
    const isLasting = identity.isUsed
    this.#wantsLobby = wantsLobby
    const { hasAudioLevels } = link
    const options = { name, passphrase, isLasting, ...media.tracks, hasAudioLevels, workers }
    this.meeting = new Meeting({ link: link.spell(), ...options })
    this.meeting.onChange = (view) => this.#onView(view)
    this.meeting.onEvent = (event) => this.#onEvent(event)
    this.meeting.onRefused = (why) => this.#pass(why)
    this.meeting.onConnection = (isConnected, why) => this.#onConnection(isConnected, why)
    this.meeting.onSwitched = (epoch) => this.#onSwitched(epoch)
    const setTrack = (kidContext: number, track: MediaStreamTrack | null) => this.meeting.setTrack(kidContext, track)
    this.#screen = new ScreenShare(setTrack, () => this.#sendsOther())
    media.onTrack = (source, track) => this.meeting.setTrack(source === "microphone" ? AUDIO : CAMERA, track)
    media.onChange = () => this.#sendsOther()
    this.#sendsOther()
    media.problem = undefined // was told before joining
    this.#timer = setInterval(() => void this.#look(), LEVELS_EVERY_MS)
  }

  // --- what happens ----------------------------------------------------------------------------------------

  #onView(view: MeetingView): void {
    if (view.generation !== this.#generation) {
      // Known only now: the newest epoch is the first of another group.
      if (this.#generation !== 0) this.#comparisons.forget()
      this.#generation = view.generation
      this.#timeline.setGeneration(view.generation)
    }
    this.#pausedAt = view.isIsolated ? (this.#pausedAt ?? performance.now()) : undefined
    if (view.phase === "member" && !this.#wasMember) {
      this.#wasMember = true
      if (this.#wantsLobby) this.#moderate({ type: "lobby", on: true })
      this.#wantsLobby = false
      void this.#stayAwake()
    }
    if (view.ended !== undefined) this.#close()
    this.onChange()
  }

  /** A server that said goodbye has told what will be. */
  #onConnection(isConnected: boolean, why: string): void {
    const hasSaidGoodbye = this.#warnings.some(({ text }) => text === GOING_DOWN)
    this.#away = isConnected || hasSaidGoodbye ? undefined : why
    if (isConnected) {
      this.#warnings = this.#warnings.filter(({ text }) => text !== GOING_DOWN)
      this.#pass(why)
    }
    this.onChange()
  }

  #onEvent(event: Event): void {
    switch (event.type) {
      case "epoch changed":
        return this.#onEpoch(event)
      case "chat received":
        return this.#say(this.#shown(event.sender), false, event.text)
      case "reacted":
        return this.#react(event.sender.participantId, event.emoji)
      case "hand changed":
        return this.#set(this.#hands, event.sender, event.raised)
      case "recording changed":
        return this.#set(this.#recording, event.sender, event.on)
      case "claim changed":
        return this.#claims.take(event.sender, event.claim, performance.now() / 1000)
      case "trouble reported":
        return this.#onReport(event)
      case "waiting for":
        this.#waitingFor = event.text
        return
      case "turned away":
        return this.#pass(this.#notLetIn(event.person))
      case "mute requested":
        void this.#media.setMicrophone(false)
        return this.#pass(`${this.#shown(event.sender)} asked you to fall silent. You are muted; unmute when you like.`)
      case "link changed":
        this.#link = MeetingLink.parse(event.link)
        this.onLink(event.link)
        return this.#pass("The host changed the link. The old one opens nothing any more.")
      case "going down":
        return this.#warn(GOING_DOWN)
      case "warned":
        return this.#warn(event.text)
    }
  }

  #onEpoch(event: EpochEvent): void {
    const { epoch, members, joined, left, committer } = event
    if (committer === undefined) this.#waitingFor = undefined
    // Who was let in after all, under another key perhaps, is not shown beside the contrary.
    const isPast = new Set(joined.map((person) => this.#notLetIn(person)))
    this.#warnings = this.#warnings.filter(({ text }) => !isPast.has(text))
    this.#comparisons.enter(epoch, members, committer === undefined ? [] : joined, left, Date.now())
    const nameOf = (person: Member) => this.#shown(person)
    this.#timeline.enter(event, this.#generation, this.meeting.view.ownLeaf, nameOf)
    this.#claims.keepOnly(new Set(members.map(({ participantId }) => participantId)))
    const known = [this.#hands, this.#recording, this.#silentFor, this.#heardAt]
    for (const { participantId } of left) for (const each of known) each.delete(participantId)
  }

  #onSwitched(epoch: number): void {
    this.#timeline.switched(epoch)
    this.onChange()
  }

  #onReport({ sender, troubles }: Extract<Event, { type: "trouble reported" }>): void {
    const ours = troubles.filter(({ leaf }) => leaf === this.meeting.view.ownLeaf)
    const worst = ours.sort((one, other) => other.since_s - one.since_s)[0]
    if (worst === undefined) this.#reported.delete(sender.participantId)
    else {
      const trouble = { reason: worst.reason, epoch: worst.epoch ?? undefined, sinceS: worst.since_s }
      this.#reported.set(sender.participantId, { at: performance.now() / 1000, trouble })
    }
  }

  /** How well a member is known. */
  #recognise(person: Member): Recognition {
    const { ownKey } = this.meeting.view
    return this.#recogniser.recognise(person, ownKey !== undefined && equal(person.signatureKey, ownKey))
  }

  #shown(person: Member): string {
    return shown(this.#recognise(person))
  }

  #notLetIn(person: Member): string {
    return `${this.#shown(person)} was not let in.`
  }

  #set(set: Set<string>, { participantId }: Member, on: boolean): void {
    if (on) set.add(participantId)
    else set.delete(participantId)
  }

  #say(name: string, isSelf: boolean, text: string): void {
    this.#chat = [...this.#chat, { key: this.#next++, name, isSelf, at: Date.now(), text }].slice(-MAX_LINES)
    this.onChange()
  }

  #react(participantId: string, emoji: string): void {
    const reaction = { key: this.#next++, participantId, emoji }
    this.#reactions = [...this.#reactions, reaction].slice(-64)
    setTimeout(() => {
      this.#reactions = this.#reactions.filter((each) => each !== reaction)
      this.onChange()
    }, REACTION_MS)
  }

  /** Warn, once for as long as the same stands there already. */
  #warn(text: string): void {
    if (this.#warnings.some((said) => said.text === text && !this.#dismissed.has(said.key))) return
    const warning = { key: `warned ${this.#next++}`, level: "warning" as const, text }
    this.#warnings = [...this.#warnings, warning].slice(-MOST_WARNINGS)
  }

  /** Say something for a moment. */
  #pass(text: string): void {
    const said: Warning = { key: `passing ${this.#next++}`, level: "news", text }
    this.#warnings = [...this.#warnings, said]
    setTimeout(() => {
      this.#warnings = this.#warnings.filter((each) => each !== said)
      this.onChange()
    }, PASSING_MS)
    this.onChange()
  }

  /** What we send may be another. */
  #sendsOther(): void {
    const { isMicrophoneOn, isCameraOn } = this.#media
    this.meeting.setSending({ microphone: isMicrophoneOn, camera: isCameraOn, screen: this.#screen.isOn })
    this.onChange()
  }

  /** How loud who is, and who can be heard at all. */
  async #look(): Promise<void> {
    if (document.hidden || this.#stage !== "meeting") return
    this.#levels = await levelsOf(this.meeting)
    for (const { owner, level } of this.#sounds()) {
      this.#silentFor.set(owner, level ? 0 : (this.#silentFor.get(owner) ?? 0) + 1)
      if ((level ?? 0) > HEARD) this.#heardAt.set(owner, performance.now() / 1000)
    }
    this.#transport ??= await transportOf(this.meeting)
    this.onChange()
  }

  #sounds(): { readonly owner: string; readonly level: number | undefined }[] {
    const tiles = this.meeting.view.tiles.filter(({ kidContext }) => kidContext === AUDIO)
    return tiles.map((tile) => ({ owner: tile.owner, level: levelOf(tile, this.#levels) }))
  }

  async #stayAwake(): Promise<void> {
    try {
      this.#wakeLock = await navigator.wakeLock.request("screen")
    } catch {
      // A comfort that not every browser has.
    }
  }

  #close(): void {
    clearInterval(this.#timer)
    this.#screen.stop()
    this.#media.onTrack = () => undefined
    this.#media.close()
    void this.#wakeLock?.release()
    this.#wakeLock = undefined
  }

  // --- the scene -------------------------------------------------------------------------------------------

  get #stage(): Stage {
    const { ended, phase } = this.meeting.view
    if (ended !== undefined) return "ended"
    if (this.#wasMember) return "meeting"
    return phase === "waiting to be let in" ? "waiting" : "connecting"
  }

  get scene(): Scene {
    const { view } = this.meeting
    const people = this.#people(view)
    const { comparison, hasDiffered } = this.#comparisons
    const joinedSince = comparison?.joinedSince ?? []
    const hosting = this.#hosting(view)
    const isOut = this.#wasMember && view.phase !== "member"
    return {
      stage: this.#stage,
      waitingFor: this.#waitingFor,
      away: this.#away,
      link: this.#link.spell(),
      server: this.#link.server,
      people,
      pictures: this.#pictures(view),
      chat: this.#chat,
      reactions: this.#reactions,
      security: {
        epoch: view.epoch,
        codes: this.#comparisons.codes(view.ownKey),
        comparison: comparison && {
          ...comparison,
          joinedSince: joinedSince.map((each) => this.#shown(each)),
          leftSince: comparison.leftSince.map((each) => this.#shown(each)),
        },
        hasDiffered,
        hasLastingKey: view.hasLastingKey,
        isServerToldWhoSpeaks: this.#link.hasAudioLevels,
        suites: suitesOf(this.#link.suite, this.#transport),
        timeline: this.#timeline.lines,
        isRotating: this.#timeline.isRotating,
      },
      memory: memoryOf(this.#recogniser, this.#identity),
      notices: noticesOf({
        people,
        pausedForS: this.#pausedAt && (performance.now() - this.#pausedAt) / 1000,
        away: this.#away,
        returning: isOut ? (this.#waitingFor ?? "You lost your place in the group, and knock again.") : undefined,
        hasDiffered,
        isStale: view.isCodeStale,
        waiting: hosting?.waiting.map(({ recognition }) => shown(recognition)) ?? [],
        joinedSinceCompared: joinedSince.filter((each) => !isVerified(this.#recognise(each))).map(({ name }) => name),
        damaged: this.#recogniser.damaged,
        deviceProblem: this.#media.problem,
        warnings: this.#warnings,
        dismissed: this.#dismissed,
      }),
      hosting,
      devices: this.#media.devices,
      isMicrophoneOn: this.#media.isMicrophoneOn,
      isCameraOn: this.#media.isCameraOn,
      isScreenShared: this.#screen.isOn,
      isHandUp: this.#isHandUp,
      isPaused: view.isIsolated,
      wasIn: this.#wasMember,
      ended: view.ended,
    }
  }

  #people(view: MeetingView): Person[] {
    const now = performance.now() / 1000
    return view.rows
      .map((row) => this.#person(row, view, now))
      .sort((one, other) => Number(other.isSelf) - Number(one.isSelf))
  }

  #person({ participantId, person, presence, standing }: Row, view: MeetingView, now: number): Person {
    const isSelf = person !== undefined && person.leaf === view.ownLeaf
    const reported = this.#reported.get(participantId)
    const isValid = reported !== undefined && now - reported.at < REPORT_VALID_S
    const failing = view.troubles
      .filter(({ owner }) => owner === participantId)
      .sort((one, other) => other.sinceS - one.sinceS)[0]
    const sound = view.tiles.find(({ owner, kidContext }) => owner === participantId && kidContext === AUDIO)
    const claim = this.#claims.of(participantId)
    const isSilent = sound?.isLive !== true || (this.#silentFor.get(participantId) ?? 0) >= SILENT_AFTER
    const isMuted =
      claim === undefined ? isSilent : this.#claims.isMuted(participantId, this.#heardAt.get(participantId), now)
    return {
      key: `${participantId} ${person?.leaf ?? "-"}`,
      participantId,
      leaf: person?.leaf,
      recognition: person && this.#recognise(person),
      isSelf,
      isHost: view.hosts.includes(participantId) || (isSelf && view.isHost),
      cameSince: !isSelf && this.#comparisons.cameSince(person),
      hasCertificate: (person?.certificates.length ?? 0) > 0,
      standing,
      presence,
      hasHandUp: isSelf ? this.#isHandUp : this.#hands.has(participantId),
      isRecording: this.#recording.has(participantId),
      level: isSelf ? this.#media.level : levelOf(sound, this.#levels),
      isMuted: person !== undefined && (isSelf ? !this.#media.isMicrophoneOn : isMuted),
      hasCameraOff: !isSelf && claim?.camera === false,
      unreadable: isSelf || failing === undefined ? undefined : { ...failing, epoch: failing.epoch ?? undefined },
      cannotReadUs: isValid ? { ...reported.trouble, sinceS: reported.trouble.sinceS + now - reported.at } : undefined,
    }
  }

  #pictures(view: MeetingView): Picture[] {
    const others = view.tiles.filter(({ kind }) => kind === "video").map((tile) => this.#pictureOf(tile))
    const { participantId } = view
    if (participantId === undefined) return others
    const camera = this.#media.tracks.camera
    const screen = this.#screen.picture
    const own = [camera && ownPicture(participantId, camera, false), screen && ownPicture(participantId, screen, true)]
    return [...own.filter((picture) => !!picture), ...others]
  }

  #pictureOf(tile: Tile): Picture {
    const { owner, kidContext, openedAt } = tile
    return {
      key: tile.stream.id,
      participantId: owner,
      isScreen: kidContext === SCREEN,
      isSelf: false,
      isLive: tile.isLive && !this.#claims.hasEnded(owner, kidContext, openedAt),
      attach: (video) => showTile(video, tile),
    }
  }

  #hosting({ isHost, isLinksHost, isLocked, hasLobby, waiting }: MeetingView): Hosting | undefined {
    if (!isHost) return undefined
    const guests = waiting.map((each) => ({ participantId: each.participantId, recognition: this.#recognise(each) }))
    return { isLocked, hasLobby, waiting: guests, canNameHosts: isLinksHost }
  }

  // --- what the user wants ---------------------------------------------------------------------------------

  #moderate(action: HostAction): void {
    this.meeting.moderate(action)
  }

  readonly intents: Intents = {
    setMicrophone: (on) => void this.#media.setMicrophone(on),
    setCamera: (on) => void this.#media.setCamera(on),
    shareScreen: (on) => (on ? void this.#screen.start() : this.#screen.stop()),
    chooseDevice: (kind, id) => {
      if (kind === "speaker") this.meeting.setSpeaker(id)
      void this.#media.choose(kind, id)
    },
    chat: (text) => {
      this.meeting.chat(text)
      this.#say(this.#name, true, text)
    },
    react: (emoji) => {
      this.meeting.react(emoji)
      if (this.meeting.view.participantId !== undefined) this.#react(this.meeting.view.participantId, emoji)
      this.onChange()
    },
    raiseHand: (up) => {
      this.#isHandUp = up
      this.meeting.raiseHand(up)
      this.onChange()
    },
    rotate: () => {
      this.#timeline.askForRotation()
      setTimeout(() => this.#timeline.isRotating && this.#pass(NOT_ROTATED), NOT_ROTATED_AFTER_MS)
      this.meeting.rotate()
      this.onChange()
    },
    showCode: () => void this.#showCode(),
    compared: (epoch, isSame, whom) => {
      void this.#compare(epoch, isSame, whom)
      this.onChange()
    },
    forget: (key) => void this.#recogniser.forget([key]),
    forgetDamaged: () => void this.#recogniser.forgetDamaged(),
    trust: (file) => void this.#recogniser.judge.trust(file),
    distrust: (authority) => void this.#recogniser.judge.distrust(authority),
    askForCertificate: (name, address) => void this.#identity.ask(name, address),
    certify: (file) => void this.#identity.certify(file),
    uncertify: () => void this.#identity.uncertify(),
    forgetIdentity: () => void this.#identity.forget(),
    dismiss: (notice) => {
      if (notice === "device") this.#media.problem = undefined // to be told again when it is tried again
      else this.#dismissed.add(notice)
      this.onChange()
    },
    leave: () => this.meeting.leave(),
    again: () => this.onAgain(),
    admit: (participantId, admitted) => this.#moderate({ type: "decide", participantId, admitted }),
    remove: (participantId) => this.#moderate({ type: "remove", participantId }),
    askToMute: (participantId) => this.#moderate({ type: "mute", participantId }),
    nameHost: (participantId, on) => this.#moderate({ type: on ? "name host" : "strike host", participantId }),
    changeLink: () => this.#moderate({ type: "change link" }),
    setLocked: (on) => this.#moderate({ type: "locked", on }),
    setLobby: (on) => this.#moderate({ type: "lobby", on }),
    end: () => this.#moderate({ type: "end" }),
  }

  /** Codes that differ after all undo what was remembered by them. */
  async #compare(epoch: number, isSame: boolean, whom: Whom): Promise<void> {
    const { ownKey } = this.meeting.view
    const members = this.#comparisons.compare(epoch, isSame, whom, Date.now())
    if (!isSame) return this.#recogniser.forget(this.#pinned.splice(0))
    const others = members.filter(({ signatureKey }) => ownKey === undefined || !equal(signatureKey, ownKey))
    this.#pinned.push(...others.map(({ signatureKey }) => signatureKey))
    const fleeting = others.filter((each) => !this.#claims.isLasting(each))
    this.#recogniser.knowForNow(fleeting)
    if (fleeting.length && whom !== "nobody") this.#pass(notRemembered(fleeting.map(({ name }) => name)))
    const lasting = others.filter((each) => this.#claims.isLasting(each))
    await this.#recogniser.remember(lasting, whom !== "nobody")
  }

  async #showCode(): Promise<void> {
    const { epoch } = this.meeting.view
    if (this.#comparisons.hasCode(epoch)) return
    const shown = await this.meeting.code()
    if (shown === undefined) return
    this.#comparisons.setCode(shown)
    this.onChange()
  }
}

export function memoryOf({ remembered, damaged, problem, judge }: Recogniser, own: IdentityChoice): Memory {
  return {
    people: remembered,
    damaged,
    problem,
    authorities: judge.authorities,
    authoritiesTold: judge.told,
    authoritiesProblem: judge.problem,
    identity: own.identity,
    identityRequest: own.request,
    identityProblem: own.problem,
  }
}

export function ownPicture(participantId: string, track: MediaStreamTrack, isScreen: boolean): Picture {
  return {
    key: track.id,
    participantId,
    isScreen,
    isSelf: true,
    isLive: true,
    attach: (video) => {
      video.srcObject = new MediaStream([track])
    },
  }
}
