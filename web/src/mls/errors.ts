/** MLS (RFC 9420) refused what came, or what was asked of it. Nothing has changed then. */
export class MLSError extends Error {
  override readonly name = "MLSError"
}

/** Whatever ts-mls throws, its own errors and what its decoders stumble over, as one kind. */
export async function guarded<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (error instanceof MLSError) throw error
    throw new MLSError(`${what}: ${error instanceof Error ? error.message : "it makes no sense"}.`, { cause: error })
  }
}
