/** Our own camera, microphone and screen: what is chosen, what is on, and how loud it is. */

import type { DeviceChoice, Devices } from "./scene.ts"

export type Source = "microphone" | "camera"

const CONSTRAINTS = {
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  camera: { width: { ideal: 960 }, frameRate: { ideal: 24, max: 30 } },
} as const

export class LocalMedia {
  /** Something of this is another now. */
  onChange: () => void = () => undefined
  /** The track to send; null: nothing. Silence is sent where the microphone is muted, so that unmuting is instant. */
  onTrack: (source: Source, track: MediaStreamTrack | null) => void = () => undefined
  readonly tracks: Record<Source, MediaStreamTrack | null> = { microphone: null, camera: null }
  isMicrophoneOn = false
  problem: string | undefined
  #devices: readonly MediaDeviceInfo[] = []
  readonly #chosen: Partial<Record<Source | "speaker", string>> = {}
  #meter: { readonly context: AudioContext; readonly analyser: AnalyserNode } | undefined
  readonly #onDevices = () => void this.#listDevices()

  get isCameraOn(): boolean {
    return this.tracks.camera !== null
  }

  get devices(): Devices {
    const of = (kind: MediaDeviceKind, name: string): DeviceChoice[] =>
      this.#devices
        .filter((device) => device.kind === kind && device.deviceId !== "")
        .map(({ deviceId, label }, at) => ({ id: deviceId, label: label || `${name} ${at + 1}` }))
    const used = (source: Source) => this.tracks[source]?.getSettings().deviceId ?? this.#chosen[source]
    return {
      microphones: of("audioinput", "Microphone"),
      cameras: of("videoinput", "Camera"),
      speakers: "setSinkId" in HTMLMediaElement.prototype ? of("audiooutput", "Loudspeaker") : [],
      microphone: used("microphone"),
      camera: used("camera"),
      speaker: this.#chosen.speaker,
    }
  }

  /** How loud the microphone is now, 0 to 1. */
  get level(): number {
    if (this.#meter === undefined || !this.isMicrophoneOn) return 0
    const samples = new Float32Array(this.#meter.analyser.fftSize)
    this.#meter.analyser.getFloatTimeDomainData(samples)
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)
  }

  /** Ask for both, or for the one that there is. */
  async open(): Promise<void> {
    navigator.mediaDevices?.addEventListener("devicechange", this.#onDevices)
    try {
      const stream = await ask({ audio: CONSTRAINTS.microphone, video: CONSTRAINTS.camera })
      for (const track of stream.getTracks()) this.#take(track.kind === "audio" ? "microphone" : "camera", track)
    } catch (error) {
      await this.#openEach(error)
    }
    await this.#listDevices()
  }

  /** Both cannot be had; one perhaps. Who refused is not asked again. */
  async #openEach(error: unknown): Promise<void> {
    const problems: string[] = []
    for (const source of ["microphone", "camera"] as const) {
      if (isRefusal(error) && !(await isGranted(source))) continue
      await this.#start(source).catch((why: unknown) => problems.push(reasonOf(why, source)))
    }
    const hasOne = this.tracks.microphone !== null || this.tracks.camera !== null
    if (!hasOne) this.problem = reasonOf(error)
    else if (problems.length) this.problem = problems.join(" ")
    else this.problem = reasonOf(error, this.tracks.camera === null ? "camera" : "microphone")
  }

  async setMicrophone(on: boolean): Promise<void> {
    this.isMicrophoneOn = on
    if (on && this.tracks.microphone === null) await this.#try("microphone")
    if (this.tracks.microphone === null) this.isMicrophoneOn = false
    else this.tracks.microphone.enabled = on
    this.onChange()
  }

  async setCamera(on: boolean): Promise<void> {
    if (on && this.tracks.camera === null) await this.#try("camera")
    else if (!on) this.#drop("camera") // the camera's lamp goes out
    this.onChange()
  }

  async choose(kind: Source | "speaker", id: string): Promise<void> {
    this.#chosen[kind] = id
    const isOn = kind === "microphone" ? this.tracks.microphone !== null : kind === "camera" && this.isCameraOn
    if (kind !== "speaker" && isOn) await this.#try(kind)
    this.onChange()
  }

  close(): void {
    navigator.mediaDevices?.removeEventListener("devicechange", this.#onDevices)
    for (const track of Object.values(this.tracks)) track?.stop()
    this.tracks.microphone = this.tracks.camera = null
    this.isMicrophoneOn = false
    void this.#meter?.context.close()
    this.#meter = undefined
  }

  async #try(source: Source): Promise<void> {
    try {
      await this.#start(source)
      this.problem = undefined
      await this.#listDevices()
    } catch (error) {
      this.problem = reasonOf(error, source)
    }
  }

  async #start(source: Source): Promise<void> {
    const id = this.#chosen[source]
    const constraints = { ...CONSTRAINTS[source], ...(id === undefined ? {} : { deviceId: { exact: id } }) }
    const stream = await ask(source === "microphone" ? { audio: constraints } : { video: constraints })
    this.#take(source, stream.getTracks()[0]!)
  }

  #take(source: Source, track: MediaStreamTrack): void {
    const before = this.tracks[source]
    this.tracks[source] = track
    if (source === "microphone") {
      if (before === null) this.isMicrophoneOn = true
      track.enabled = this.isMicrophoneOn
      this.#measure(track)
    }
    track.addEventListener("ended", () => {
      if (this.tracks[source] !== track) return
      this.#drop(source)
      this.problem = `The ${source} is gone: it was unplugged, or the system took it away.`
      this.onChange()
    })
    this.onTrack(source, track)
    before?.stop()
  }

  #drop(source: Source): void {
    const track = this.tracks[source]
    this.tracks[source] = null
    if (source === "microphone") this.isMicrophoneOn = false
    track?.stop()
    this.onTrack(source, null)
  }

  #measure(track: MediaStreamTrack): void {
    void this.#meter?.context.close()
    const context = new AudioContext()
    const analyser = new AnalyserNode(context, { fftSize: 1024 })
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser)
    this.#meter = { context, analyser }
  }

  async #listDevices(): Promise<void> {
    try {
      this.#devices = await navigator.mediaDevices.enumerateDevices()
    } catch {
      this.#devices = []
    }
    this.onChange()
  }
}

function ask(constraints: MediaStreamConstraints): Promise<MediaStream> {
  const { mediaDevices } = navigator
  if (mediaDevices === undefined) return Promise.reject(new DOMException("", "NotFoundError"))
  return mediaDevices.getUserMedia(constraints)
}

function isRefusal(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotAllowedError"
}

async function isGranted(name: Source): Promise<boolean> {
  const status = await navigator.permissions.query({ name }).catch(() => undefined) // not every browser knows these
  return status?.state === "granted"
}

function reasonOf(error: unknown, source?: Source): string {
  const name = error instanceof DOMException ? error.name : ""
  if (name === "NotAllowedError") {
    return `This page may not use the ${source ?? "camera or the microphone"}. You can allow it beside the address.`
  }
  if (name === "NotFoundError" || name === "OverconstrainedError") return `No ${source ?? "camera or microphone"} was found.`
  const what = `The ${source ?? "camera or the microphone"}`
  return name === "NotReadableError" ? `${what} is in use by another program.` : `${what} cannot be used.`
}
