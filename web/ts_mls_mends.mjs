// Faults of ts-mls 1.6.4, mended as it is loaded or bundled: the one list, for the page (vite.config.ts) and for
// tests/interop (mends.mjs). tests/interop/test_faults_of_ts_mls.py shows each of them in the library as it is
// published. A mend whose text is not found the expected number of times is an error, so none goes missing.

const mends = [
  {
    // RFC 9420 §12.4.3.1: "Every non-blank intermediate node between the leaf node and the parent node" lists an
    // unmerged leaf. ts-mls asks it of the nodes above the parent too, and that the whole lists be equal:
    // so it cannot join most groups of more than four whose members have committed.
    file: "/ts-mls/dist/src/clientState.js",
    published: "if (!arraysEqual(dpNode.parent.unmergedLeaves, n.parent.unmergedLeaves))",
    mended: "if (parentIdx === i) break; if (!dpNode.parent.unmergedLeaves.includes(unmergedLeaf))",
  },
  {
    // A removed member whose leaf the same Commit gives to somebody else takes itself for a member still,
    // and then fails to find its key.
    file: "/ts-mls/dist/src/clientState.js",
    published: "mutatedTree[leafToNodeIndex(toLeafIndex(state.privatePath.leafIndex))] === undefined",
    mended: "grouped.remove.some((p) => p.proposal.remove.removed === state.privatePath.leafIndex)",
  },
  {
    // §12.4.1: the commit secret is derived "from the last path secret value [...] derived for the UpdatePath".
    // ts-mls derives once more where the root is blank, so that a group whose first half of leaves is empty
    // falls apart.
    file: "/ts-mls/dist/src/pathSecrets.js",
    published: 'const nextSecret = await deriveSecret(pathSecrets[currentIndex], "path", kdf)',
    mended:
      "const nextSecret = tree[nextIndex] === undefined ? pathSecrets[currentIndex] : " +
      'await deriveSecret(pathSecrets[currentIndex], "path", kdf)',
  },
  {
    // §12.4.3.2: the body of an `external_pub` extension is a struct of one vector. ts-mls leaves the length out.
    file: "/ts-mls/dist/src/createCommit.js",
    imports: 'import { decodeVarLenData, varLenDataEncoder } from "./codec/variableLength.js"',
    published: "exportSecret(externalPub.extensionData, cs)",
    mended: "exportSecret(decodeVarLenData(externalPub.extensionData, 0)[0], cs)",
  },
  {
    file: "/ts-mls/dist/src/createCommit.js",
    published: "extensionData: externalPub }",
    mended: "extensionData: encode(varLenDataEncoder)(externalPub) }",
    times: 2,
  },
]

export const mendedFiles = [...new Set(mends.map(({ file }) => file))]

/** The source of `file` (a path or URL) with its faults mended; null if it has none. */
export function mend(file, source) {
  const wanted = mends.filter((each) => file.endsWith(each.file))
  if (wanted.length === 0) return null
  for (const { published, mended, imports = "", times = 1 } of wanted) {
    const parts = source.split(published)
    if (parts.length !== times + 1) throw new Error(`not found ${times} times in ${file}: ${published}`)
    source = imports + "\n" + parts.join(mended)
  }
  return source
}
