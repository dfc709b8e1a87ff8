/** The pictures: all alike in a grid, or one large and the others beside it. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import type { Person, Picture, Reaction, Scene } from "./scene.ts"
import { Tile } from "./tile.tsx"

export type Layout = "grid" | "speaker"

const GAP = 12
const LEAST_WIDTH = 148
const WIDEST = 16 / 9
const HEARD = 0.03

interface Seat {
  readonly key: string
  readonly person: Person
  readonly picture: Picture | undefined
}

/** A seat for every member, and one more for every screen that is shared; one whose pictures have stopped is not. */
export function seatsOf({ people, pictures }: Pick<Scene, "people" | "pictures">): Seat[] {
  const ofTheGroup = people.filter(({ leaf }) => leaf !== undefined)
  const pictureOf = (person: Person, isScreen: boolean) =>
    pictures.find((each) => each.participantId === person.participantId && each.isScreen === isScreen)
  const screens = ofTheGroup.flatMap((person) => {
    const picture = pictureOf(person, true)
    return picture?.isLive !== true ? [] : [{ key: `${person.key} screen`, person, picture }]
  })
  return [...screens, ...ofTheGroup.map((person) => ({ key: person.key, person, picture: pictureOf(person, false) }))]
}

/** How many columns make the tiles largest, which are as wide as a camera's picture, or less wide where that fills more. */
export function gridFor(
  count: number,
  width: number,
  height: number,
): { readonly columns: number; readonly tileWidth: number; readonly tileHeight: number } {
  const narrowest = width > height ? 4 / 3 : 1
  let best = { columns: 1, tileWidth: 0, tileHeight: 0 }
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns)
    const down = (height - GAP * (rows - 1)) / rows
    const tileWidth = Math.floor(Math.min((width - GAP * (columns - 1)) / columns, down * WIDEST))
    const tileHeight = Math.floor(Math.min(down, tileWidth / narrowest))
    if (tileWidth * tileHeight > best.tileWidth * best.tileHeight) best = { columns, tileWidth, tileHeight }
  }
  if (best.tileWidth >= Math.min(LEAST_WIDTH, width)) return best
  const columns = Math.max(1, Math.floor((width + GAP) / (LEAST_WIDTH + GAP))) // too many: scroll
  const tileWidth = Math.floor((width - GAP * (columns - 1)) / columns)
  return { columns, tileWidth, tileHeight: Math.floor(tileWidth / WIDEST) }
}

function useSize() {
  const element = useRef<HTMLDivElement>(null)
  const [size, setSize] = useState({ width: 0, height: 0 })
  useLayoutEffect(() => {
    const measure = () => {
      const { clientWidth, clientHeight } = element.current!
      setSize((old) =>
        old.width === clientWidth && old.height === clientHeight ? old : { width: clientWidth, height: clientHeight },
      )
    }
    const observer = new ResizeObserver(measure)
    observer.observe(element.current!)
    measure()
    return () => observer.disconnect()
  }, [])
  return { element, size }
}

/** Who speaks now, or spoke last. */
function useSpeaker(people: readonly Person[]): string | undefined {
  const [speaker, setSpeaker] = useState<string>()
  useEffect(() => {
    const others = people.filter(({ isSelf, level }) => !isSelf && (level ?? 0) > HEARD)
    const loudest = others.sort((one, other) => other.level! - one.level!)[0]
    const still = others.find(({ key }) => key === speaker)
    if (loudest !== undefined && loudest.level! > 2 * (still?.level ?? 0)) setSpeaker(loudest.key)
  })
  return speaker
}

interface StageProps {
  readonly scene: Scene
  readonly layout: Layout
  readonly pinned: string | undefined
  readonly onPin: (key: string | undefined) => void
}

export function Stage({ scene, layout, pinned, onPin }: StageProps) {
  const { element, size } = useSize()
  const speaker = useSpeaker(scene.people)
  const seats = seatsOf(scene)
  const large =
    seats.find(({ key }) => key === pinned) ??
    seats.find(({ picture }) => picture?.isScreen && !picture.isSelf) ??
    (layout === "speaker"
      ? (seats.find(({ key }) => key === speaker) ?? seats.find(({ person }) => !person.isSelf))
      : undefined)
  const { tileWidth, tileHeight } = gridFor(seats.length, size.width, size.height)
  const style = { "--tile-width": `${Math.max(tileWidth, 1)}px`, "--tile-height": `${Math.max(tileHeight, 1)}px` }
  return (
    <section
      ref={element}
      class={`stage ${large === undefined ? "as-grid" : "as-speaker"}`}
      aria-label="Pictures"
      style={style}
    >
      {/* All in one place, large or not: a video that is moved in the document loses its picture for a moment. */}
      <div class="tiles">
        {seats.map((seat) => (
          <Tile
            key={seat.key}
            person={seat.person}
            picture={seat.picture}
            reactions={seat.picture?.isScreen ? [] : scene.reactions.filter(isOf(seat.person))}
            isPaused={scene.isPaused}
            isLarge={seat === large}
            isPinned={seat.key === pinned}
            onPin={() => onPin(seat.key === pinned ? undefined : seat.key)}
          />
        ))}
      </div>
    </section>
  )
}

function isOf({ participantId }: Person): (reaction: Reaction) => boolean {
  return (reaction) => reaction.participantId === participantId
}
