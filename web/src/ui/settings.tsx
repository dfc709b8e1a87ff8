/** Devices, and what the keyboard does. */

import { DeviceMenus } from "./device_menus.tsx"
import { Dialog, Switch } from "./parts.tsx"
import type { Devices, Intents } from "./scene.ts"
import { SHORTCUTS } from "./shortcuts.ts"

interface SettingsProps {
  readonly devices: Devices
  readonly onChoose: Intents["chooseDevice"]
  readonly hasShortcuts: boolean
  readonly onShortcuts: (on: boolean) => void
  readonly onClose: () => void
}

export function Settings({ devices, onChoose, hasShortcuts, onShortcuts, onClose }: SettingsProps) {
  return (
    <Dialog title="Devices and shortcuts" onClose={onClose}>
      <DeviceMenus devices={devices} onChoose={onChoose} />
      <h3>Shortcuts</h3>
      <Switch label="Keyboard shortcuts" isOn={hasShortcuts} onChange={onShortcuts} />
      <dl class="shortcuts">
        {Object.entries(SHORTCUTS).map(([key, meaning]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  )
}
