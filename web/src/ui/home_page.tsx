/** The first page: make a meeting, or open a link that was sent. */

import { useState } from "preact/hooks"
import { Icon, Mark } from "./icons.tsx"
import { Switch } from "./parts.tsx"

export interface Wishes {
  readonly isHybrid: boolean
  readonly hasPassphrase: boolean
  readonly hasLobby: boolean
  readonly hasAudioLevels: boolean
  readonly token: string | undefined
}

export interface Home {
  readonly isBusy: boolean
  readonly problem: string | undefined
  /** The server lets only some make meetings. */
  readonly wantsToken: boolean
  /** Whether a lobby can be had from the beginning. */
  readonly offersLobby: boolean
}

export interface HomeIntents {
  create(wishes: Wishes): void
  open(link: string): void
}

export function HomePage({
  home,
  intents,
  isUnfolded = false,
}: {
  readonly home: Home
  readonly intents: HomeIntents
  readonly isUnfolded?: boolean
}) {
  const [isHybrid, setHybrid] = useState(true)
  const [hasPassphrase, setPassphrase] = useState(false)
  const [hasLobby, setLobby] = useState(false)
  const [hasAudioLevels, setAudioLevels] = useState(false)
  const [token, setToken] = useState("")
  const [link, setLink] = useState("")
  const create = (event: Event) => {
    event.preventDefault()
    const wishes = { isHybrid, hasPassphrase, hasLobby, hasAudioLevels }
    intents.create({ ...wishes, token: home.wantsToken ? token : undefined })
  }
  const open = (event: Event) => {
    event.preventDefault()
    if (link.trim() !== "") intents.open(link.trim())
  }
  return (
    <main class="home">
      <div class="home-head">
        <Mark />
        <h1>Conclave</h1>
        <p class="lead">Video meetings that only those who are in them can see and hear. Not even this server.</p>
      </div>
      <form class="card" onSubmit={create}>
        {home.wantsToken && (
          <label class="field">
            <span>Token of this server</span>
            <input
              id="token"
              type="password"
              required
              autocomplete="off"
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
            />
          </label>
        )}
        <button type="submit" id="create" class="button primary large-button" disabled={home.isBusy}>
          {home.isBusy ? "Making it…" : "New meeting"}
        </button>
        {home.problem !== undefined && (
          <p class="problem" role="alert">
            {home.problem}
          </p>
        )}
        <details open={isUnfolded}>
          <summary>
            <Icon name="settings" /> Options
          </summary>
          <fieldset>
            <legend>Encryption</legend>
            <label class="choice">
              <input type="radio" name="suite" checked={isHybrid} onChange={() => setHybrid(true)} />
              <span>
                Hybrid<small>Holds against quantum computers to come</small>
              </span>
            </label>
            <label class="choice">
              <input type="radio" name="suite" checked={!isHybrid} onChange={() => setHybrid(false)} />
              <span>
                Classical<small>Smaller messages, and every MLS library has it</small>
              </span>
            </label>
          </fieldset>
          <Switch
            id="with-passphrase"
            label="Passphrase"
            hint="Asked for besides the link; tell it by another way"
            isOn={hasPassphrase}
            onChange={setPassphrase}
          />
          {home.offersLobby && (
            <Switch
              id="with-lobby"
              label="Lobby"
              hint="You let everybody in yourself"
              isOn={hasLobby}
              onChange={setLobby}
            />
          )}
          <Switch
            id="with-audio-levels"
            label="Audio levels"
            hint="Tells the server who speaks, and how loudly: on narrow connections it keeps their pictures"
            isOn={hasAudioLevels}
            onChange={setAudioLevels}
          />
        </details>
      </form>
      <form class="open-link" onSubmit={open}>
        <label class="unseen" for="link">
          Meeting link
        </label>
        <input
          id="link"
          value={link}
          autocomplete="off"
          placeholder="Or paste a meeting link"
          onInput={(event) => setLink(event.currentTarget.value)}
        />
        <button type="submit" class="button">
          Open
        </button>
      </form>
      <p class="quiet foot">
        The server sees who is connected from where, when, and how much they send. It sees no names, pictures, sound or
        chat.
      </p>
    </main>
  )
}

/** A page that can only say something. */
export function SentencePage({
  title,
  sentence,
  detail,
}: {
  readonly title: string
  readonly sentence: string
  readonly detail?: string
}) {
  return (
    <main class="centre">
      <Mark />
      <h1>{title}</h1>
      <p role="alert">{sentence}</p>
      {detail !== undefined && <p class="quiet">{detail}</p>}
      <a class="button" href="/">
        To the first page
      </a>
    </main>
  )
}
