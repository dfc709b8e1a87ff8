/** Small pieces that several views are made of. */

import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { type Recognition, remarkOf, signOf } from "../conference/recognition.ts"
import { Icon, type IconName } from "./icons.tsx"
import { lookOf } from "./words.ts"

interface ToolProps {
  readonly icon: IconName
  readonly label: string
  readonly onClick: () => void
  /** For what is on or off, or shown or hidden. */
  readonly isPressed?: boolean | undefined
  readonly isExpanded?: boolean
  readonly shortcut?: string
  readonly look?: "plain" | "off" | "danger"
  readonly badge?: number | string | undefined
  readonly id?: string
}

/** A round button with a picture; its label is read out, and shown when pointed at. */
export function Tool({ icon, label, onClick, isPressed, isExpanded, shortcut, look = "plain", badge, id }: ToolProps) {
  return (
    <button
      type="button"
      id={id}
      class={`tool tool-${look}`}
      aria-label={badge ? `${label} ${badge}` : label}
      aria-pressed={isPressed}
      aria-expanded={isExpanded}
      aria-keyshortcuts={shortcut}
      title={shortcut === undefined ? label : `${label} (${shortcut})`}
      onClick={onClick}
    >
      <Icon name={icon} />
      {badge ? (
        <span class="badge" aria-hidden="true">
          {badge}
        </span>
      ) : null}
    </button>
  )
}

/** A modal dialog of the browser's own, which keeps the focus and gives it back. */
export function Dialog({
  title,
  onClose,
  look = "",
  children,
}: {
  readonly title: string
  readonly onClose: () => void
  readonly look?: string
  readonly children: ComponentChildren
}) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  const onClick = (event: MouseEvent) => event.target === dialog.current && dialog.current?.close()
  return (
    <dialog ref={dialog} class={`dialog ${look}`} aria-labelledby="dialog-title" onClose={onClose} onClick={onClick}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id="dialog-title">{title}</h2>
          <Tool icon="close" label="Close" onClick={() => dialog.current?.close()} />
        </header>
        {children}
      </div>
    </dialog>
  )
}

/** A button that says for a moment that it did what it was to do. */
export function CopyButton({ text, label }: { readonly text: string; readonly label: string }) {
  const [said, say] = useState<string>()
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say("Copied")
    } catch {
      say("Copy it from the field")
    }
    setTimeout(() => say(undefined), 2500)
  }
  return (
    <button type="button" class="button" onClick={copy}>
      <Icon name={said === "Copied" ? "check" : "copy"} />
      <span aria-live="polite">{said ?? label}</span>
    </button>
  )
}

interface SwitchProps {
  readonly label: string
  readonly hint?: string
  readonly isOn: boolean
  readonly onChange: (on: boolean) => void
  readonly id?: string
}

export function Switch({ label, hint, isOn, onChange, id }: SwitchProps) {
  return (
    <label class="switch">
      <span>
        {label}
        {hint && <small>{hint}</small>}
      </span>
      <input
        id={id}
        type="checkbox"
        role="switch"
        checked={isOn}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    </label>
  )
}

/** A name behind the sign that says what it is worth (docs/identity.md); no name can put one there. */
export function Name({ recognition, otherwise }: { readonly recognition: Recognition | undefined; readonly otherwise: string }) {
  if (recognition === undefined) return <bdi>{otherwise}</bdi>
  return (
    <>
      <span class={`sign ${lookOf(recognition)}`} title={remarkOf(recognition)}>
        {signOf(recognition)}
      </span>
      <bdi>{recognition.name}</bdi>
    </>
  )
}

/** Initials on a colour that is always the same for a name. */
export function Avatar({ name }: { readonly name: string }) {
  const words = name.trim().split(/\s+/u).slice(0, 2)
  const initials = words.map((word) => [...word][0]?.toUpperCase() ?? "").join("") || "?"
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)!) % 9, 7)
  return (
    <span class={`avatar hue-${hue}`} aria-hidden="true">
      {initials}
    </span>
  )
}

/** How loud it is, 0 to 1. */
export function Level({ level, label }: { readonly level: number; readonly label: string }) {
  const shown = Math.min(1, Math.sqrt(level) * 1.4)
  return <meter class="level" min={0} max={1} value={shown} aria-label={label} />
}
