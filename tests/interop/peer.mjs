// ts-mls as a live peer: members of MLS groups, each by a name of the caller's.
//
// A line in is one JSON object: `op` names an operation below, the rest are its fields. A line out, in the
// same order, is its result, or {"error": …} and then the member is as it was. Bytes are base64.
//
// What to mind with ts-mls 1.6.4: a private Commit goes to `processPrivateMessage`, since `processMessage`
// drops the caller's PSKs; a Commit of GroupContextExtensions gets no path, which §12.4 forbids; there is no
// way to make an Update; GroupContextExtensions that empty the list are taken for no change; ECDSA keys that it
// generates are compressed points, which §5.1.1 forbids, so we generate them. More in mends.mjs.
import { createInterface } from "node:readline"
import { p256, p384, p521 } from "@noble/curves/nist.js"
import {
  acceptAll,
  branchGroup,
  ciphersuites,
  createApplicationMessage,
  createCommit,
  createGroup,
  createGroupInfoWithExternalPub,
  createGroupInfoWithExternalPubAndRatchetTree,
  createProposal,
  decodeMlsMessage,
  defaultCapabilities,
  encodeMlsMessage,
  generateKeyPackageWithKey,
  getCiphersuiteFromName,
  getCiphersuiteImpl,
  joinGroup,
  joinGroupExternal,
  joinGroupFromBranch,
  joinGroupFromReinit,
  makePskIndex,
  mlsExporter,
  processPrivateMessage,
  processPublicMessage,
  reinitCreateNewGroup,
  reinitGroup,
} from "ts-mls"
import { decodeKeyPackage, encodeKeyPackage } from "ts-mls/keyPackage.js"
import { decodeRatchetTree, encodeRatchetTree } from "ts-mls/ratchetTree.js"

const DAY_S = 86400
const CURVES = { P256: p256, P384: p384, P521: p521 }

const members = new Map() // name -> { suite, keyPackage, privateKeys, state, pending }
const suites = new Map()

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"))
const text = (data) => Buffer.from(data).toString("base64")
const message = (content) => text(encodeMlsMessage({ version: "mls10", ...content }))

function whole(decoded, data, what) {
  if (decoded === undefined || decoded[1] !== data.length) throw new Error(`this is not one ${what}`)
  return decoded[0]
}

function decoded(decoder, encoded, what) {
  const data = bytes(encoded)
  return whole(decoder(data, 0), data, what)
}

async function suite(id) {
  if (!suites.has(id)) {
    const name = Object.keys(ciphersuites).find((key) => ciphersuites[key] === id)
    suites.set(id, await getCiphersuiteImpl(getCiphersuiteFromName(name)))
  }
  return suites.get(id)
}

async function signatureKeyPair(impl) {
  const curve = CURVES[getCiphersuiteFromName(impl.name).signature]
  if (curve === undefined) return impl.signature.keygen()
  const signKey = curve.utils.randomSecretKey()
  return { signKey, publicKey: curve.getPublicKey(signKey, false) }
}

function pskIndex(state, psks) {
  return makePskIndex(state, Object.fromEntries(Object.entries(psks).map(([id, secret]) => [id, bytes(secret)])))
}

function extensions(list) {
  return list.map(([type, data]) => ({ extensionType: type, extensionData: bytes(data) }))
}

function proposal(member, { kind, value }) {
  switch (kind) {
    case "add":
      return { proposalType: "add", add: { keyPackage: decoded(decodeKeyPackage, value, "KeyPackage") } }
    case "remove":
      return { proposalType: "remove", remove: { removed: value } }
    case "psk": {
      const pskNonce = member.suite.rng.randomBytes(member.suite.kdf.size)
      const preSharedKeyId = { psktype: "external", pskId: bytes(value), pskNonce }
      return { proposalType: "psk", psk: { preSharedKeyId } }
    }
    case "extensions":
      return { proposalType: "group_context_extensions", groupContextExtensions: { extensions: extensions(value) } }
  }
  throw new Error(`ts-mls makes no proposal of kind ${kind}`)
}

const operations = {
  async keyPackage(name, { suite: id, identity, applicationId }) {
    const now = Math.floor(Date.now() / 1000)
    const impl = await suite(id)
    const leafExtensions = applicationId === null ? [] : extensions([["application_id", applicationId]])
    const made = await generateKeyPackageWithKey(
      { credentialType: "basic", identity: bytes(identity) },
      defaultCapabilities(),
      { notBefore: BigInt(now - 3600), notAfter: BigInt(now + 14 * DAY_S) },
      [],
      await signatureKeyPair(impl),
      impl,
      leafExtensions,
    )
    members.set(name, { suite: impl, keyPackage: made.publicPackage, privateKeys: made.privatePackage })
    return { keyPackage: text(encodeKeyPackage(made.publicPackage)) }
  },

  async create(name, { groupId, extensions: list }) {
    const member = members.get(name)
    const { keyPackage, privateKeys, suite } = member
    member.state = await createGroup(bytes(groupId), keyPackage, privateKeys, extensions(list), suite)
    return {}
  },

  async join(name, { welcome, tree, psks }) {
    const member = members.get(name)
    const body = decoded(decodeMlsMessage, welcome, "MLSMessage")
    const ratchetTree = tree === null ? undefined : decoded(decodeRatchetTree, tree, "ratchet tree")
    const { keyPackage, privateKeys, suite } = member
    member.state = await joinGroup(
      body.welcome, keyPackage, privateKeys, pskIndex(undefined, psks), suite, ratchetTree)
    return {}
  },

  async joinExternally(name, { groupInfo, tree, resync }) {
    const member = members.get(name)
    const body = decoded(decodeMlsMessage, groupInfo, "MLSMessage")
    const ratchetTree = tree === null ? undefined : decoded(decodeRatchetTree, tree, "ratchet tree")
    const { keyPackage, privateKeys, suite } = member
    const made = await joinGroupExternal(body.groupInfo, keyPackage, privateKeys, resync, suite, ratchetTree)
    member.pending = made.newState
    return { message: message({ wireformat: "mls_public_message", publicMessage: made.publicMessage }) }
  },

  async groupInfo(name, { withTree }) {
    const { state, suite } = members.get(name)
    const create = withTree ? createGroupInfoWithExternalPubAndRatchetTree : createGroupInfoWithExternalPub
    return { groupInfo: message({ wireformat: "mls_group_info", groupInfo: await create(state, [], suite) }) }
  },

  async commit(name, { proposals, psks, authenticatedData, isPublic, treeInWelcome }) {
    const member = members.get(name)
    const { state, suite } = member
    const made = await createCommit(
      { state, cipherSuite: suite, pskIndex: pskIndex(state, psks) },
      {
        wireAsPublicMessage: isPublic,
        extraProposals: proposals.map((item) => proposal(member, item)),
        ratchetTreeExtension: treeInWelcome,
        authenticatedData: bytes(authenticatedData),
      },
    )
    member.pending = made.newState
    const welcome = made.welcome && message({ wireformat: "mls_welcome", welcome: made.welcome })
    return { message: text(encodeMlsMessage(made.commit)), welcome: welcome ?? null }
  },

  async reinit(name, { groupId, suite: id }) {
    const member = members.get(name)
    const { state, suite: impl } = member
    const made = await reinitGroup(state, bytes(groupId), "mls10", (await suite(id)).name, [], impl)
    member.pending = made.newState
    return { message: text(encodeMlsMessage(made.commit)) }
  },

  // `as` is the member, of whom there is a KeyPackage so far, that goes on in the group that follows.
  async follow(name, { as, groupId, isBranch, keyPackages }) {
    const { state } = members.get(name)
    const member = members.get(as)
    const others = keyPackages.map((item) => decoded(decodeKeyPackage, item, "KeyPackage"))
    const { keyPackage, privateKeys, suite: impl } = member
    const made = isBranch
      ? await branchGroup(state, keyPackage, privateKeys, others, bytes(groupId), impl)
      : await reinitCreateNewGroup(state, keyPackage, privateKeys, others, bytes(groupId), impl.name, [])
    member.state = made.newState
    return {
      welcome: message({ wireformat: "mls_welcome", welcome: made.welcome }),
      tree: text(encodeRatchetTree(made.newState.ratchetTree)),
    }
  },

  async joinFollowing(name, { as, isBranch, welcome, tree }) {
    const { state } = members.get(name)
    const member = members.get(as)
    const body = decoded(decodeMlsMessage, welcome, "MLSMessage").welcome
    const ratchetTree = decoded(decodeRatchetTree, tree, "ratchet tree")
    const { keyPackage, privateKeys, suite: impl } = member
    member.state = isBranch
      ? await joinGroupFromBranch(state, body, keyPackage, privateKeys, ratchetTree, impl)
      : await joinGroupFromReinit(state, body, keyPackage, privateKeys, ratchetTree)
    return {}
  },

  async adopt(name) {
    const member = members.get(name)
    member.state = member.pending
    member.pending = undefined
    return {}
  },

  async propose(name, { proposal: item, authenticatedData, isPublic }) {
    const member = members.get(name)
    const made = await createProposal(
      member.state, isPublic, proposal(member, item), member.suite, bytes(authenticatedData))
    member.state = made.newState
    return { message: text(encodeMlsMessage(made.message)) }
  },

  async encrypt(name, { data, authenticatedData }) {
    const member = members.get(name)
    const made = await createApplicationMessage(
      member.state, bytes(data), member.suite, bytes(authenticatedData))
    member.state = made.newState
    return { message: message({ wireformat: "mls_private_message", privateMessage: made.privateMessage }) }
  },

  async process(name, { message: encoded, psks }) {
    const member = members.get(name)
    const body = decoded(decodeMlsMessage, encoded, "MLSMessage")
    const known = pskIndex(member.state, psks)
    const isPrivate = body.wireformat === "mls_private_message"
    const process = isPrivate ? processPrivateMessage : processPublicMessage
    const content = isPrivate ? body.privateMessage : body.publicMessage
    const result = await process(member.state, content, known, member.suite, acceptAll)
    member.state = result.newState
    const authenticatedData = text(isPrivate ? content.authenticatedData : content.content.authenticatedData)
    return {
      authenticatedData,
      data: result.kind === "applicationMessage" ? text(result.message) : null,
      isMember: member.state.groupActiveState.kind !== "removedFromGroup",
    }
  },

  async view(name, { label, context, length }) {
    const { state, suite } = members.get(name)
    const exported = await mlsExporter(state.keySchedule.exporterSecret, label, bytes(context), length, suite)
    return {
      epoch: Number(state.groupContext.epoch),
      authenticator: text(state.keySchedule.epochAuthenticator),
      exported: text(exported),
      tree: text(encodeRatchetTree(state.ratchetTree)),
      leaf: state.privatePath.leafIndex,
    }
  },

  async forget(name) {
    members.delete(name)
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, member, ...fields } = JSON.parse(line)
  let result
  try {
    result = await operations[op](member, fields)
  } catch (error) {
    result = { error: String(error?.stack ?? error) }
  }
  process.stdout.write(JSON.stringify(result) + "\n")
}
