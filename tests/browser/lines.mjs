// How a driver is told what to do: one JSON object a line in, with an `id` and an `op`, and one a line out, with the
// same `id` and a `result` or an `error`.
import { createInterface } from "node:readline"

/** Carries out what is asked, several at once, until asked to `quit`. */
export async function serve(operations) {
  async function answer({ id, op, ...fields }) {
    try {
      return { id, result: (await operations[op](fields)) ?? null }
    } catch (error) {
      return { id, error: String(error?.message ?? error) }
    }
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    void answer(request).then((answered) => {
      process.stdout.write(JSON.stringify(answered) + "\n")
      if (request.op === "quit") process.exit()
    })
  }
}
