/** The bar at the foot of a meeting. */

import { useEffect, useRef, useState } from "preact/hooks"
import { Icon } from "./icons.tsx"
import { Tool } from "./parts.tsx"
import type { Intents, Scene } from "./scene.ts"
import type { Layout } from "./stage.tsx"

export type Panel = "people" | "chat" | "security"

const EMOJIS = ["👍", "👏", "❤️", "😂", "😮", "🎉"]

interface ControlsProps {
  readonly scene: Scene
  readonly intents: Intents
  readonly panel: Panel | undefined
  readonly layout: Layout
  readonly unread: number
  readonly onPanel: (panel: Panel) => void
  readonly onLayout: () => void
  readonly onFullScreen: () => void
  readonly onSettings: () => void
}

export function Controls(props: ControlsProps) {
  const { scene, intents, panel } = props
  const waiting = scene.hosting?.waiting.length
  return (
    <footer class="controls" aria-label="Controls">
      <div class="controls-main">
        <Tool
          id="microphone"
          icon={scene.isMicrophoneOn ? "microphone" : "microphone off"}
          label={scene.isMicrophoneOn ? "Mute" : "Unmute"}
          look={scene.isMicrophoneOn ? "plain" : "off"}
          shortcut="M"
          onClick={() => intents.setMicrophone(!scene.isMicrophoneOn)}
        />
        <Tool
          id="camera"
          icon={scene.isCameraOn ? "camera" : "camera off"}
          label={scene.isCameraOn ? "Turn the camera off" : "Turn the camera on"}
          look={scene.isCameraOn ? "plain" : "off"}
          shortcut="V"
          onClick={() => intents.setCamera(!scene.isCameraOn)}
        />
        {"getDisplayMedia" in (navigator.mediaDevices ?? {}) && (
          <Tool
            id="screen"
            icon={scene.isScreenShared ? "screen off" : "screen"}
            label={scene.isScreenShared ? "Stop sharing" : "Share your screen"}
            isPressed={scene.isScreenShared}
            shortcut="S"
            onClick={() => intents.shareScreen(!scene.isScreenShared)}
          />
        )}
        <Tool
          id="hand"
          icon="hand"
          label="Raise your hand"
          isPressed={scene.isHandUp}
          shortcut="H"
          onClick={() => intents.raiseHand(!scene.isHandUp)}
        />
        <Reactions onReact={intents.react} />
        <button type="button" id="leave" class="leave" onClick={() => intents.leave()}>
          Leave
        </button>
      </div>
      <div class="controls-side">
        <Tool
          id="people"
          icon="people"
          label="People"
          isPressed={panel === "people"}
          shortcut="P"
          badge={waiting}
          onClick={() => props.onPanel("people")}
        />
        <Tool
          id="chat"
          icon="chat"
          label="Chat"
          isPressed={panel === "chat"}
          shortcut="C"
          badge={props.unread}
          onClick={() => props.onPanel("chat")}
        />
        <More {...props} />
      </div>
    </footer>
  )
}

/** A menu that closes when anything else is done. */
function Popover({
  icon,
  label,
  id,
  children,
}: {
  readonly icon: "smile" | "more"
  readonly label: string
  readonly id: string
  readonly children: (close: () => void) => preact.ComponentChildren
}) {
  const [isOpen, open] = useState(false)
  const root = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (!isOpen) return
    const onAway = (event: Event) => !root.current?.contains(event.target as Node) && open(false)
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return
      open(false)
      root.current?.querySelector("button")?.focus()
    }
    addEventListener("pointerdown", onAway)
    addEventListener("focusin", onAway)
    addEventListener("keydown", onKey)
    return () => {
      removeEventListener("pointerdown", onAway)
      removeEventListener("focusin", onAway)
      removeEventListener("keydown", onKey)
    }
  }, [isOpen])
  return (
    <div class="popover" ref={root}>
      <button
        type="button"
        id={id}
        class="tool tool-plain"
        aria-label={label}
        title={label}
        aria-expanded={isOpen}
        onClick={() => open(!isOpen)}
      >
        <Icon name={icon} />
      </button>
      {isOpen && <div class={`popover-body ${icon}`}>{children(() => open(false))}</div>}
    </div>
  )
}

function Reactions({ onReact }: { readonly onReact: (emoji: string) => void }) {
  return (
    <Popover icon="smile" label="React" id="react">
      {(close) =>
        EMOJIS.map((emoji) => (
          <button
            key={emoji}
            type="button"
            class="emoji"
            aria-label={`React with ${emoji}`}
            onClick={() => {
              onReact(emoji)
              close()
            }}
          >
            {emoji}
          </button>
        ))
      }
    </Popover>
  )
}

function More({ layout, onLayout, onFullScreen, onSettings }: ControlsProps) {
  const items = [
    {
      icon: layout === "grid" ? "speaker" : "grid",
      label: layout === "grid" ? "Speaker view" : "Grid view",
      act: onLayout,
    },
    {
      icon: "full",
      label: document.fullscreenElement === null ? "Full screen" : "Leave full screen",
      act: onFullScreen,
    },
    { icon: "settings", label: "Devices and shortcuts", act: onSettings },
  ] as const
  return (
    <Popover icon="more" label="More" id="more">
      {(close) =>
        items.map(({ icon, label, act }) => (
          <button
            key={label}
            type="button"
            class="menu-item"
            onClick={() => {
              close()
              act()
            }}
          >
            <Icon name={icon} />
            {label}
          </button>
        ))
      }
    </Popover>
  )
}
