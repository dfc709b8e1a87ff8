/** The test vectors that both languages read. */

import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const root = join(process.cwd(), "..")

export function read(...path: string[]): string {
  return readFileSync(join(root, ...path), "utf-8")
}

export function readJson(...path: string[]): any {
  return JSON.parse(read(...path))
}

export function list(...path: string[]): string[] {
  return readdirSync(join(root, ...path)).sort()
}
