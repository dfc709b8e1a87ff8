/** Which microphone, camera and loudspeaker. */

import type { DeviceChoice, Devices, Intents } from "./scene.ts"

interface MenuProps {
  readonly id: string
  readonly label: string
  readonly choices: readonly DeviceChoice[]
  readonly chosen: string | undefined
  readonly onChoose: (id: string) => void
}

function Menu({ id, label, choices, chosen, onChoose }: MenuProps) {
  const value = choices.some((choice) => choice.id === chosen) ? chosen : choices[0]?.id
  return (
    <label class="field">
      <span>{label}</span>
      <select
        id={id}
        disabled={choices.length === 0}
        value={value ?? ""}
        onChange={(event) => onChoose(event.currentTarget.value)}
      >
        {choices.length === 0 && <option value="">None found</option>}
        {choices.map((choice) => (
          <option key={choice.id} value={choice.id} selected={choice.id === value}>
            {choice.label}
          </option>
        ))}
      </select>
    </label>
  )
}

export function DeviceMenus({
  devices,
  onChoose,
}: {
  readonly devices: Devices
  readonly onChoose: Intents["chooseDevice"]
}) {
  return (
    <div class="devices">
      <Menu
        id="choose-microphone"
        label="Microphone"
        choices={devices.microphones}
        chosen={devices.microphone}
        onChoose={(id) => onChoose("microphone", id)}
      />
      <Menu
        id="choose-camera"
        label="Camera"
        choices={devices.cameras}
        chosen={devices.camera}
        onChoose={(id) => onChoose("camera", id)}
      />
      {devices.speakers.length > 0 && (
        <Menu
          id="choose-speaker"
          label="Loudspeaker"
          choices={devices.speakers}
          chosen={devices.speaker}
          onChoose={(id) => onChoose("speaker", id)}
        />
      )}
    </div>
  )
}
