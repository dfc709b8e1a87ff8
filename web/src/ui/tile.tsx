/** One participant's picture, or what stands in its place. */

import { useLayoutEffect, useRef } from "preact/hooks"
import { Icon } from "./icons.tsx"
import { Avatar, Name } from "./parts.tsx"
import type { Person, Picture, Reaction } from "./scene.ts"
import { healthOf, isGhost, lookOf, plainNameOf, whyNoPicture } from "./words.ts"

const SPEAKING = 0.02

export function Video({ picture, name }: { readonly picture: Picture; readonly name: string }) {
  const video = useRef<HTMLVideoElement>(null)
  // Before the next frame is painted: what is decoded until then is shown to nobody, and the first is a key frame.
  useLayoutEffect(() => picture.attach(video.current!), [picture.key])
  return (
    <video
      ref={video}
      autoplay
      muted
      playsInline
      data-owner={picture.isSelf ? undefined : picture.participantId}
      class={picture.isSelf && !picture.isScreen ? "mirrored" : ""}
      aria-label={picture.isScreen ? `Screen of ${name}` : `Camera of ${name}`}
    />
  )
}

interface TileProps {
  readonly person: Person
  readonly picture: Picture | undefined
  readonly reactions: readonly Reaction[]
  readonly isPaused: boolean
  readonly isLarge: boolean
  readonly isPinned: boolean
  readonly onPin: () => void
}

export function Tile({ person, picture, reactions, isPaused, isLarge, isPinned, onPin }: TileProps) {
  const name = plainNameOf(person)
  const looks = ["tile"]
  if (isLarge) looks.push("large")
  if (isGhost(person) || lookOf(person.recognition) === "alarm") looks.push("ghost")
  if ((person.level ?? 0) > SPEAKING && !person.isMuted) looks.push("speaking")
  if (picture?.isScreen) looks.push("screen")
  if (picture?.isLive === false) looks.push("stopped")
  return (
    <figure class={looks.join(" ")}>
      {picture !== undefined && <Video key={picture.key} picture={picture} name={name} />}
      {picture?.isLive !== true && <Avatar name={name} />}
      <Veil person={person} picture={picture} isPaused={isPaused && person.isSelf} />
      <figcaption>
        {person.isMuted && !picture?.isScreen && <Flag icon="microphone off" label="muted" />}
        {person.hasCameraOff && picture?.isLive && !picture.isScreen && <Flag icon="camera off" label="camera off" />}
        {person.hasHandUp && <Flag icon="hand" label="hand raised" look="hand" />}
        {person.isRecording && <Flag icon="record" label="recording" look="record" />}
        <span class="tile-name">
          <Name recognition={person.recognition} otherwise={name} />
          {picture?.isScreen && ", screen"}
          {person.isSelf && <em> you</em>}
        </span>
      </figcaption>
      <button
        type="button"
        class="tile-pin"
        aria-pressed={isPinned}
        aria-label={`Show ${picture?.isScreen ? "the screen of " : ""}${name} large`}
        onClick={onPin}
      />
      <div class="tile-reactions" aria-hidden="true">
        {reactions.map(({ key, emoji }) => (
          <span key={key}>{emoji}</span>
        ))}
      </div>
    </figure>
  )
}

function Flag({
  icon,
  label,
  look = "",
}: {
  readonly icon: "microphone off" | "camera off" | "hand" | "record"
  readonly label: string
  readonly look?: string
}) {
  return (
    <span class={`flag ${look}`} role="img" aria-label={label}>
      <Icon name={icon} />
    </span>
  )
}

/** What lies over a picture that is not to be taken for a present one. */
function Veil({
  person,
  picture,
  isPaused,
}: {
  readonly person: Person
  readonly picture: Picture | undefined
  readonly isPaused: boolean
}) {
  if (isPaused) return <p class="veil danger">Not sent: nobody confirms your keys</p>
  if (isGhost(person)) {
    return <p class="veil danger">Hidden by the server, but holds the keys</p>
  }
  if (person.recognition?.level === "changed key") return <p class="veil danger band">Not the key that you compared</p>
  if (person.recognition?.level === "certificate not valid") return <p class="veil danger band">Certificate not valid</p>
  if (person.unreadable !== undefined && picture?.isLive !== true) {
    return (
      <p class="veil" title={healthOf(person).join(" ")}>
        {whyNoPicture(person.unreadable)}
      </p>
    )
  }
  if (person.presence === "away") return <p class="veil">Connection lost</p>
  return null
}
