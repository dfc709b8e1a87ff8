/** Before joining: a name, a look into the mirror, and what is protected. */

import { useState } from "preact/hooks"
import { DeviceMenus } from "./device_menus.tsx"
import { Icon, Mark } from "./icons.tsx"
import { MemoryDialog } from "./memory.tsx"
import { Avatar, CopyButton, Level, Switch, Tool } from "./parts.tsx"
import type { Devices, Intents, Memory, MemoryIntents, Picture } from "./scene.ts"
import { Video } from "./tile.tsx"

export interface GreenRoom {
  readonly link: string
  readonly isHost: boolean
  readonly hasPassphrase: boolean
  /** The meeting was made so that the server is told who speaks. */
  readonly hasAudioLevels: boolean
  readonly devices: Devices
  readonly isMicrophoneOn: boolean
  readonly isCameraOn: boolean
  /** Of the microphone, 0 to 1. */
  readonly level: number
  readonly preview: Picture | undefined
  /** Why there is no camera or microphone. */
  readonly deviceProblem: string | undefined
  readonly isBusy: boolean
  readonly problem: string | undefined
  readonly memory: Memory
  /** Whether we come with this browser's identity. */
  readonly isLasting: boolean
}

export type GreenRoomIntents = Pick<Intents, "setMicrophone" | "setCamera" | "chooseDevice"> &
  MemoryIntents & {
    setLasting(on: boolean): void
    join(name: string, passphrase: string | null): void
  }

interface Props {
  readonly room: GreenRoom
  readonly intents: GreenRoomIntents
  readonly firstName?: string
}

export function GreenRoomPage({ room, intents, firstName = "" }: Props) {
  const [name, setName] = useState(firstName)
  const [passphrase, setPassphrase] = useState("")
  const [isMemoryOpen, openMemory] = useState(false)
  const certified = room.isLasting ? room.memory.identity?.name : undefined
  const join = (event: Event) => {
    event.preventDefault()
    const called = certified ?? name.trim()
    if (called !== "") intents.join(called, room.hasPassphrase ? passphrase : null)
  }
  return (
    <main class="green-room">
      <header class="green-head">
        <Mark />
        <h1>{room.isHost ? "Your meeting is ready" : "Join the meeting"}</h1>
      </header>
      <div class="green-body">
        <Mirror room={room} name={name} intents={intents} />
        <form class="green-form" onSubmit={join}>
          {room.isHost && (
            <div class="share">
              <label class="field">
                <span>Link for those you invite</span>
                <input class="mono" readOnly value={room.link} onFocus={(event) => event.currentTarget.select()} />
              </label>
              <CopyButton text={room.link} label="Copy link" />
            </div>
          )}
          <label class="field">
            <span>Your name</span>
            <input
              id="name"
              readOnly={certified !== undefined}
              required
              maxLength={64}
              autocomplete="name"
              value={certified ?? name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
            {certified !== undefined && <small>As it stands in your certificate.</small>}
          </label>
          {room.hasPassphrase && (
            <label class="field">
              <span>Passphrase</span>
              <input
                id="passphrase"
                type="password"
                required
                autocomplete="off"
                value={passphrase}
                onInput={(event) => setPassphrase(event.currentTarget.value)}
              />
              {room.isHost && (
                <small>Whoever comes first sets it. Tell it to the others by another way than the link.</small>
              )}
            </label>
          )}
          <Lasting room={room} intents={intents} onMemory={() => openMemory(true)} />
          {room.problem !== undefined && (
            <p class="problem" role="alert">
              {room.problem}
            </p>
          )}
          <button type="submit" id="join" class="button primary large-button" disabled={room.isBusy}>
            {room.isBusy ? "Joining…" : "Join"}
          </button>
          <p class="quiet protected">
            <Icon name="lock" />
            <span>
              Picture, sound, chat and names are encrypted between the people in the meeting. The server cannot read
              them.
              {room.hasAudioLevels && " It is told who speaks, and how loudly: this meeting was made so."}
            </span>
          </p>
        </form>
        {/* Not in the form: it has one of its own. */}
        {isMemoryOpen && <MemoryDialog memory={room.memory} intents={intents} onClose={() => openMemory(false)} />}
        <DeviceMenus devices={room.devices} onChoose={intents.chooseDevice} />
      </div>
    </main>
  )
}

/** Whether others are to know us again. Off, and nothing kept, until it is wanted. */
function Lasting({ room, intents, onMemory }: Omit<Props, "firstName"> & { readonly onMemory: () => void }) {
  const { identity, identityProblem, authoritiesProblem } = room.memory
  return (
    <div class="lasting">
      <Switch
        id="lasting"
        label="Be recognised in later meetings"
        hint="By a key that stays in this browser. Those you meet can tell that it is you; the server cannot."
        isOn={room.isLasting}
        onChange={intents.setLasting}
      />
      {identityProblem !== undefined && (
        <p class="problem" role="alert">
          {identityProblem}
          {!room.isLasting && " You come with a fresh key."}
        </p>
      )}
      {identity !== undefined && !room.isLasting && <small class="quiet">Not this time. Your identity stays here.</small>}
      {authoritiesProblem !== undefined && (
        <p class="problem" role="alert">
          {authoritiesProblem}
        </p>
      )}
      <button type="button" id="memory" class="link" onClick={onMemory}>
        Kept in this browser
      </button>
    </div>
  )
}

function Mirror({
  room,
  name,
  intents,
}: {
  readonly room: GreenRoom
  readonly name: string
  readonly intents: GreenRoomIntents
}) {
  return (
    <section class="mirror" aria-label="How you will be seen">
      <div class="tile">
        {room.preview === undefined ? (
          <Avatar name={name} />
        ) : (
          <Video key={room.preview.key} picture={room.preview} name="you" />
        )}
        <div class="mirror-tools">
          <Tool
            id="microphone"
            icon={room.isMicrophoneOn ? "microphone" : "microphone off"}
            label={room.isMicrophoneOn ? "Mute" : "Unmute"}
            look={room.isMicrophoneOn ? "plain" : "off"}
            onClick={() => intents.setMicrophone(!room.isMicrophoneOn)}
          />
          <Tool
            id="camera"
            icon={room.isCameraOn ? "camera" : "camera off"}
            label={room.isCameraOn ? "Turn the camera off" : "Turn the camera on"}
            look={room.isCameraOn ? "plain" : "off"}
            onClick={() => intents.setCamera(!room.isCameraOn)}
          />
        </div>
      </div>
      <Level level={room.isMicrophoneOn ? room.level : 0} label="Loudness of your microphone" />
      <p class="quiet" role="status">
        {room.deviceProblem}{" "}
        {!room.isMicrophoneOn && !room.isCameraOn && "You join without both, and can still see, hear and write."}
      </p>
    </section>
  )
}
