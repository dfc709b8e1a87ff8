export const mendedFiles: readonly string[]
export function mend(file: string, source: string): string | null
