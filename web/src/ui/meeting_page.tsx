/** The page of a meeting, from the knock to the goodbye. */

import { useEffect, useRef, useState } from "preact/hooks"
import { ChatPanel } from "./chat_panel.tsx"
import { Controls, type Panel } from "./controls.tsx"
import { Icon, Mark } from "./icons.tsx"
import { Tool } from "./parts.tsx"
import { PeoplePanel } from "./people_panel.tsx"
import type { Intents, Notice, NoticeIntent, Scene } from "./scene.ts"
import { SecurityButton, SecurityPanel } from "./security_panel.tsx"
import { Settings } from "./settings.tsx"
import { type Shortcut, useShortcuts } from "./shortcuts.ts"
import { type Layout, Stage } from "./stage.tsx"
import { eventOf } from "./words.ts"

const TITLES = { people: "People", chat: "Chat", security: "Security" } as const

export interface MeetingPageProps {
  readonly scene: Scene
  readonly intents: Intents
  /** What stands open at first. */
  readonly panel?: Panel
  readonly layout?: Layout
}

export function MeetingPage(props: MeetingPageProps) {
  if (props.scene.stage === "ended") return <Ended {...props} />
  if (props.scene.stage !== "meeting") return <Waiting {...props} />
  return <Room {...props} />
}

function Room({ scene, intents, panel: firstPanel, layout: firstLayout = "grid" }: MeetingPageProps) {
  const [panel, setPanel] = useState(firstPanel)
  const [layout, setLayout] = useState(firstLayout)
  const [pinned, pin] = useState<string>()
  const [isSettingsOpen, openSettings] = useState(false)
  const [hasShortcuts, setShortcuts] = useState(true)
  const unread = useUnread(scene, panel === "chat")
  const togglePanel = (wanted: Panel) => setPanel(panel === wanted ? undefined : wanted)
  const changeLayout = () => {
    setLayout(layout === "grid" ? "speaker" : "grid")
    pin(undefined)
  }
  const act: Record<Shortcut, () => void> = {
    M: () => intents.setMicrophone(!scene.isMicrophoneOn),
    V: () => intents.setCamera(!scene.isCameraOn),
    S: () => intents.shareScreen(!scene.isScreenShared),
    H: () => intents.raiseHand(!scene.isHandUp),
    P: () => togglePanel("people"),
    C: () => togglePanel("chat"),
    K: () => togglePanel("security"),
    G: changeLayout,
    F: toggleFullScreen,
    "?": () => openSettings(true),
  }
  const wishes: Record<NoticeIntent, () => void> = {
    "show security": () => setPanel("security"),
    "show people": () => setPanel("people"),
    "show settings": () => openSettings(true),
    leave: () => intents.leave(),
  }
  useShortcuts(hasShortcuts, (shortcut) => act[shortcut]())
  return (
    <div class={`room ${panel === undefined ? "" : "with-panel"}`}>
      <header class="bar">
        <Mark />
        <Title class="unseen">Meeting</Title>
        <p class="unseen" role="status">
          {arrivals(scene)}
        </p>
        <SecurityButton scene={scene} isOpen={panel === "security"} onClick={() => togglePanel("security")} />
      </header>
      <Notices notices={scene.notices} act={wishes} onDismiss={intents.dismiss} />
      <main class="middle">
        <Stage scene={scene} layout={layout} pinned={pinned} onPin={pin} />
      </main>
      {panel !== undefined && (
        <SidePanel key={panel} title={TITLES[panel]} onClose={() => setPanel(undefined)}>
          {panel === "people" && <PeoplePanel scene={scene} intents={intents} />}
          {panel === "chat" && <ChatPanel lines={scene.chat} intents={intents} />}
          {panel === "security" && <SecurityPanel scene={scene} intents={intents} />}
        </SidePanel>
      )}
      <Controls
        scene={scene}
        intents={intents}
        panel={panel}
        layout={layout}
        unread={unread}
        onPanel={togglePanel}
        onLayout={changeLayout}
        onFullScreen={toggleFullScreen}
        onSettings={() => openSettings(true)}
      />
      {isSettingsOpen && (
        <Settings
          devices={scene.devices}
          onChoose={intents.chooseDevice}
          hasShortcuts={hasShortcuts}
          onShortcuts={setShortcuts}
          onClose={() => openSettings(false)}
        />
      )}
    </div>
  )
}

/** A view's heading, which is read out when the view comes. */
function Title({
  class: look = "",
  children,
}: {
  readonly class?: string
  readonly children: preact.ComponentChildren
}) {
  const title = useRef<HTMLHeadingElement>(null)
  useEffect(() => title.current?.focus(), [])
  return (
    <h1 ref={title} class={look} tabIndex={-1}>
      {children}
    </h1>
  )
}

/** For who cannot see tiles come and go. */
function arrivals({ security }: Scene): string {
  const newest = security.timeline[0]
  return newest !== undefined && newest.joined.length + newest.left.length > 0 ? eventOf(newest) : ""
}

function toggleFullScreen(): void {
  const change =
    document.fullscreenElement === null ? document.documentElement.requestFullscreen() : document.exitFullscreen()
  void change.catch(() => undefined)
}

function useUnread({ chat }: Scene, isShown: boolean): number {
  const seen = useRef(chat.length)
  if (isShown) seen.current = chat.length
  return chat.slice(seen.current).filter(({ isSelf }) => !isSelf).length
}

function SidePanel({
  title,
  onClose,
  children,
}: {
  readonly title: string
  readonly onClose: () => void
  readonly children: preact.ComponentChildren
}) {
  const panel = useRef<HTMLElement>(null)
  useEffect(() => {
    const before = document.activeElement
    const canType = matchMedia("(pointer: fine)").matches // elsewhere a keyboard would come up and hide what was said
    const text = canType ? panel.current!.querySelector<HTMLElement>("textarea") : null
    ;(text ?? panel.current!).focus()
    return () => before instanceof HTMLElement && before.focus()
  }, [])
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const isOfOther = document.querySelector("dialog, .popover-body") !== null // which closes by itself
      if (event.key === "Escape" && !isOfOther) onClose()
    }
    addEventListener("keydown", onKey)
    return () => removeEventListener("keydown", onKey)
  })
  return (
    <aside ref={panel} class="panel" aria-label={title} tabIndex={-1}>
      <header class="panel-head">
        <h2>{title}</h2>
        <Tool icon="close" label={`Close ${title.toLowerCase()}`} onClick={onClose} />
      </header>
      <div class="panel-body" tabIndex={0} role="group" aria-label={`${title}, content`}>
        {children}
      </div>
    </aside>
  )
}

const LEVEL_ICON = { danger: "warning", warning: "warning", news: "info" } as const

function Notices({
  notices,
  act,
  onDismiss,
}: {
  readonly notices: readonly Notice[]
  readonly act: Readonly<Record<NoticeIntent, () => void>>
  readonly onDismiss: Intents["dismiss"]
}) {
  return (
    <div class="notices" role="region" aria-label="Notices">
      {notices.map(({ key, level, text, action, canBeDismissed }) => (
        <div key={key} class={`notice ${level}`} role={level === "news" ? "status" : "alert"}>
          <Icon name={LEVEL_ICON[level]} />
          <p>{text}</p>
          {action !== undefined && (
            <button
              type="button"
              class="link"
              onClick={() => act[action.intent]()}
            >
              {action.label}
            </button>
          )}
          {canBeDismissed && <Tool icon="close" label="Dismiss" onClick={() => onDismiss(key)} />}
        </div>
      ))}
    </div>
  )
}

function Waiting({ scene, intents }: MeetingPageProps) {
  const isAtDoor = scene.stage === "waiting"
  return (
    <main class="centre" aria-busy="true">
      <div class="pulse">
        <Mark />
      </div>
      <Title>{isAtDoor ? "At the door" : "Connecting"}</Title>
      <p role="status">
        {isAtDoor
          ? (scene.away ?? scene.waitingFor ?? "Your name reaches those inside sealed; the server cannot read it.")
          : `Reaching ${scene.server}.`}
      </p>
      <button type="button" id="leave" class="button" onClick={() => intents.leave()}>
        Leave
      </button>
    </main>
  )
}

function Ended({ scene, intents }: MeetingPageProps) {
  return (
    <main class="centre">
      <Mark />
      <Title>{scene.wasIn ? "You are out of the meeting" : "You are not in the meeting"}</Title>
      <p id="ended" role="status">
        {scene.ended} {scene.wasIn && "The keys are erased."}
      </p>
      <div class="buttons">
        <button type="button" id="again" class="button primary" onClick={() => intents.again()}>
          {scene.wasIn ? "Join again" : "Try again"}
        </button>
        <a class="button" href="/">
          New meeting
        </a>
      </div>
    </main>
  )
}
