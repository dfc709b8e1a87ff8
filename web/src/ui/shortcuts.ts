/** Keys that act without a pointer. They can be turned off, for who speaks to the computer (WCAG 2.1.4). */

import { useLayoutEffect } from "preact/hooks"

export const SHORTCUTS = {
  M: "microphone",
  V: "camera",
  S: "share the screen",
  H: "raise or lower the hand",
  P: "people",
  C: "chat",
  K: "keys and security",
  G: "grid or speaker",
  F: "full screen",
  "?": "this list",
} as const

export type Shortcut = keyof typeof SHORTCUTS

export function useShortcuts(isOn: boolean, act: (shortcut: Shortcut) => void): void {
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { target } = event
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !isOn) return
      if (target instanceof HTMLElement && target.closest("input:not([type=checkbox]), textarea, select, dialog"))
        return
      const shortcut = event.key.toUpperCase()
      if (!(shortcut in SHORTCUTS)) return
      event.preventDefault()
      act(shortcut as Shortcut)
    }
    addEventListener("keydown", onKey)
    return () => removeEventListener("keydown", onKey)
  })
}
