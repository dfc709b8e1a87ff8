/** What was said in writing. */

import { useEffect, useRef, useState } from "preact/hooks"
import { Icon } from "./icons.tsx"
import type { ChatLine, Intents } from "./scene.ts"

const MAX_TEXT = 4000

export function ChatPanel({ lines, intents }: { readonly lines: readonly ChatLine[]; readonly intents: Intents }) {
  const [text, setText] = useState("")
  const end = useRef<HTMLLIElement>(null)
  useEffect(() => end.current?.scrollIntoView({ block: "end" }), [lines.length])
  const send = (event: Event) => {
    event.preventDefault()
    if (text.trim() === "") return
    intents.chat(text.trim())
    setText("")
  }
  return (
    <div class="chat">
      <div class="chat-lines" role="log" aria-label="Messages" tabIndex={0}>
        <ol>
          {lines.length === 0 && (
            <li class="empty">Messages go to everybody here, encrypted. Who joins later cannot read them.</li>
          )}
          {lines.map((line, at) => (
            <li key={line.key} ref={at === lines.length - 1 ? end : null} class={line.isSelf ? "mine" : ""}>
              {(at === 0 || lines[at - 1]!.name !== line.name || line.at - lines[at - 1]!.at > 300_000) && (
                <span class="chat-head">
                  <b>
                    <bdi>{line.isSelf ? "You" : line.name}</bdi>
                  </b>
                  <time>{new Date(line.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time>
                </span>
              )}
              <p>{line.text}</p>
            </li>
          ))}
        </ol>
      </div>
      <form class="chat-form" onSubmit={send}>
        <input
          id="text"
          value={text}
          maxLength={MAX_TEXT}
          autocomplete="off"
          placeholder="Message to all"
          aria-label="Message to all"
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="tool tool-plain" aria-label="Send" title="Send">
          <Icon name="send" />
        </button>
      </form>
    </div>
  )
}
