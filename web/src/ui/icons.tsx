/** The page's pictures: strokes on a grid of 24, in the colour of the text beside them. */

const PATHS = {
  microphone: "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM5 11a7 7 0 0 0 14 0M12 18v3",
  "microphone off":
    "M9 5.5A3 3 0 0 1 15 6v5.5M15 15a3 3 0 0 1-6-3V9M5 11a7 7 0 0 0 11.5 5.4M19 11a7 7 0 0 1-.6 2.8M12 18v3M4 4l16 16",
  camera:
    "M3.5 7.5A1.5 1.5 0 0 1 5 6h9a1.5 1.5 0 0 1 1.5 1.5v9A1.5 1.5 0 0 1 14 18H5a1.5 1.5 0 0 1-1.5-1.5ZM15.5 11l5-3v8l-5-3",
  "camera off":
    "M9 6h5a1.5 1.5 0 0 1 1.5 1.5V12M15.5 15.5v1A1.5 1.5 0 0 1 14 18H5a1.5 1.5 0 0 1-1.5-1.5v-9A1.5 1.5 0 0 1 5 6M15.5 11l5-3v8l-3-1.8M4 4l16 16",
  screen: "M4 5h16v11H4ZM9 20h6M12 16v4M12 13V8.5M9.5 10.5 12 8l2.5 2.5",
  "screen off": "M4 5h16v11H4ZM9 20h6M12 16v4M9.8 8.3l4.4 4.4M14.2 8.3l-4.4 4.4",
  hand: "M7 13V7a1.4 1.4 0 0 1 2.8 0v4M9.8 11V5a1.4 1.4 0 0 1 2.8 0v6M12.6 11V6a1.4 1.4 0 0 1 2.8 0v6.5M15.4 12.5V9a1.4 1.4 0 0 1 2.8 0v5.5c0 3.6-2.2 6.5-5.8 6.5-2.7 0-4.2-1.2-5.5-3.4l-2.4-4a1.5 1.5 0 0 1 2.5-1.6",
  smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8.5 14.5a4.2 4.2 0 0 0 7 0M9 9.5h.01M15 9.5h.01",
  chat: "M4 5h16v11H11l-4.5 3.5V16H4Z",
  people:
    "M9 11a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 9 11ZM3 19.5c.4-3.2 2.9-5 6-5s5.6 1.8 6 5M15.5 4.9a3.2 3.2 0 0 1 0 5.8M17.5 14.8c2 .6 3.2 2.2 3.5 4.7",
  key: "M8 16.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM12.5 12H21v3.5M17 12v2.5",
  grid: "M4 5h7v6H4ZM13 5h7v6h-7ZM4 13h7v6H4ZM13 13h7v6h-7Z",
  speaker: "M4 5h16v9H4ZM4 17h4.5v2.5H4ZM10 17h4v2.5h-4ZM15.5 17H20v2.5h-4.5Z",
  full: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  more: "M5.5 12h.01M5.5 11.99v.02M12 12h.01M12 11.99v.02M18.5 12h.01M18.5 11.99v.02",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h11v11H9ZM15 9V4H4v11h5",
  check: "M5 12.5 10 17.5 19.5 7",
  warning: "M12 4 2.8 19.5h18.4ZM12 10v4.5M12 17h.01",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 11v5.5M12 7.8h.01",
  rotate: "M20 12a8 8 0 0 1-14.3 4.9M4 12a8 8 0 0 1 14.3-4.9M18.5 3v4.2h-4.2M5.5 21v-4.2h4.2",
  settings: "M5 7h9M18 7h1M5 17h1M10 17h9M16 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM8 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  lock: "M6 11h12v9H6ZM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  remove:
    "M9.5 11a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4ZM3.5 19.5c.4-3.2 2.9-5 6-5 2 0 3.7.7 4.8 2M15.5 19l5-5M15.5 14l5 5",
  send: "M4 12 20 4.5 15 20l-3.5-6.5Z",
  record: "M12 17a5 5 0 1 0 0-10 5 5 0 0 0 0 10Z",
  back: "M14.5 5.5 8 12l6.5 6.5",
  next: "M9.5 5.5 16 12l-6.5 6.5",
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class={`icon icon-${name.split(" ")[0]}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  )
}

/** A keyhole in a round of people. */
export function Mark() {
  const seats = Array.from({ length: 9 }, (_, at) => (at * 2 * Math.PI) / 9 - Math.PI / 2)
  return (
    <svg class="mark" viewBox="0 0 48 48" aria-hidden="true" focusable="false">
      {seats.map((angle) => (
        <circle key={angle} cx={24 + 19.5 * Math.cos(angle)} cy={24 + 19.5 * Math.sin(angle)} r="3" />
      ))}
      <path d="M24 14.5a5.8 5.8 0 0 1 3.2 10.6L29 33.5H19l1.8-8.4A5.8 5.8 0 0 1 24 14.5Z" />
    </svg>
  )
}
