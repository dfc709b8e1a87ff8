/**
 * A group (RFC 9420 §3, §11, §12), upon ts-mls: as in Python, an epoch is a value, and a commit makes the next group
 * beside the current one. Adopting it is an assignment, refusing it is nothing.
 *
 * What ts-mls 1.6.4 leaves to its caller is done here: that a message is of this group and epoch, who sent an
 * application message, that building a commit consumes a handshake generation, that no two nodes share a key, that
 * the secrets of a path fit its public keys, that past epochs and keys of blank nodes are erased. What it gets wrong
 * is mended in ts_mls_mends.mjs.
 */

import { type ClientState, createGroup, joinGroup } from "ts-mls/clientState.js"
import { defaultClientConfig } from "ts-mls/clientConfig.js"
import { createCommit } from "ts-mls/createCommit.js"
import { createApplicationMessage } from "ts-mls/createMessage.js"
import type { KeyPackage } from "ts-mls/keyPackage.js"
import { mlsExporter } from "ts-mls/keySchedule.js"
import { decodeMlsMessage, encodeMlsMessage } from "ts-mls/message.js"
import { unprotectPrivateMessage } from "ts-mls/messageProtection.js"
import type { PrivateMessage } from "ts-mls/privateMessage.js"
import { processPrivateMessage } from "ts-mls/processMessages.js"
import type { Proposal } from "ts-mls/proposal.js"
import type { PskIndex } from "ts-mls/pskIndex.js"
import { consumeRatchet } from "ts-mls/secretTree.js"
import { directPath, leafToNodeIndex, leafWidth, toLeafIndex } from "ts-mls/treemath.js"
import { concat, encodeBase64url, equal, type Octets, own, random, utf8 } from "../bytes.ts"
import { guarded, MLSError } from "./errors.ts"
import { checkPublicKey, erase, type KeyPackageBundle, present, type Presented } from "./key_package.ts"
import { memberOf, type Member } from "./member.ts"
import type { CiphersuiteImpl } from "./suite.ts"

export interface Psk {
  readonly id: Octets
  readonly secret: Octets
}

/** An application message that was opened. */
export interface ApplicationMessage {
  readonly epoch: number
  readonly sender: number
  readonly data: Octets
}

/** What another member's commit does, once MLS has verified it. */
export interface CommitReceived {
  readonly sender: number
  readonly authenticatedData: Octets
  readonly hasPath: boolean
  readonly adds: readonly Presented[]
  readonly removes: readonly number[]
  /** Ids of external PSKs, in order. */
  readonly pskIds: readonly Octets[]
  /** It has proposals of other kinds, by reference, or PSKs that are not external. */
  readonly hasOthers: boolean
  /** The group at the next epoch; undefined if the commit removes us. */
  readonly group: Group | undefined
}

/** A commit of ours that the log has not echoed yet. */
export interface PendingCommit {
  readonly message: Octets
  readonly welcome: Octets | undefined
  readonly group: Group
  /** Whether it has a path, so that our leaf's keys are new. */
  readonly hasPath: boolean
}

const MAX_PAST = 4 // epochs whose late messages can still be read

export class Group {
  readonly #suite: CiphersuiteImpl
  #state: ClientState
  /** By epoch, when it ended. */
  readonly #endedAt: Map<number, number>

  private constructor(suite: CiphersuiteImpl, state: ClientState, endedAt: Map<number, number>) {
    this.#suite = suite
    this.#state = state
    this.#endedAt = endedAt
  }

  /** The group of one member. */
  static create(suite: CiphersuiteImpl, groupId: Octets, bundle: KeyPackageBundle): Promise<Group> {
    return guarded("The group could not be made", async () => {
      const { keyPackage, privateKeys } = bundle
      const state = await createGroup(groupId, keyPackage, privateKeys, [], suite, config)
      erase(bundle)
      return new Group(suite, state, new Map())
    })
  }

  /**
   * The group that a Welcome (an MLSMessage) leads to. It must have exactly `psk`, an external one, and pass `check`.
   *
   * MLSError, or what `check` throws, and the bundle is then as it was.
   */
  static async join(
    suite: CiphersuiteImpl,
    welcome: Octets,
    bundle: KeyPackageBundle,
    psk: Psk,
    check: (group: Group) => void,
  ): Promise<Group> {
    const group = await guarded("The Welcome was refused", async () => {
      const message = decodeMessage(welcome)
      if (message.wireformat !== "mls_welcome") throw new MLSError("This is not a Welcome.")
      const asked: string[] = []
      const { keyPackage, privateKeys } = bundle
      const search = pskIndex([psk], asked)
      const state = await joinGroup(message.welcome, keyPackage, privateKeys, search, suite, undefined, undefined, config)
      if (asked.length !== 1) throw new MLSError("The Welcome does not carry the PSK of the meeting link, and no other.")
      const joined = new Group(suite, state, new Map())
      await joined.#checkTree(new Set())
      return joined
    })
    check(group)
    erase(bundle)
    return group
  }

  get groupId(): Octets {
    return own(this.#state.groupContext.groupId)
  }

  get epoch(): number {
    return Number(this.#state.groupContext.epoch)
  }

  get ownLeaf(): number {
    return this.#state.privatePath.leafIndex
  }

  /** Leaves of the ratchet tree, blank ones too: a power of two (§7.7). */
  get leafCount(): number {
    return leafWidth(this.#state.ratchetTree.length)
  }

  get epochAuthenticator(): Octets {
    return own(this.#state.keySchedule.epochAuthenticator)
  }

  /** By leaf. */
  get members(): readonly Member[] {
    return this.#state.ratchetTree.flatMap((node, at) => (node?.nodeType === "leaf" ? [memberOf(node.leaf, at / 2)] : []))
  }

  async export(label: string, context: Octets, length: number): Promise<Octets> {
    const { exporterSecret } = this.#state.keySchedule
    return own(await mlsExporter(exporterSecret, label, context, length, this.#suite))
  }

  // --- application messages (§6.3.1) ---

  encrypt(data: Octets): Promise<Octets> {
    return guarded("The message could not be encrypted", async () => {
      const made = await createApplicationMessage(this.#state, data, this.#suite)
      this.#state = made.newState
      return encodePrivate(made.privateMessage)
    })
  }

  /** An application message of this epoch or one that ended lately. MLSError, and nothing has changed then. */
  decrypt(message: Octets): Promise<ApplicationMessage> {
    return guarded("The message could not be read", async () => {
      const received = this.#privateMessage(message, "application")
      const past = received.epoch < this.#state.groupContext.epoch
      const { result, keep } = past ? await this.#openPast(received) : await this.#openPresent(received)
      const { content } = result.content
      if (content.contentType !== "application" || content.sender.senderType !== "member") {
        throw new MLSError("It is no application message of a member.")
      }
      keep()
      return { epoch: Number(received.epoch), sender: content.sender.leafIndex, data: own(content.applicationData) }
    })
  }

  async #openPresent(received: PrivateMessage) {
    const { keySchedule, secretTree, ratchetTree, groupContext } = this.#state
    const result = await unprotectPrivateMessage(
      keySchedule.senderDataSecret,
      received,
      secretTree,
      ratchetTree,
      groupContext,
      config.keyRetentionConfig,
      this.#suite,
    )
    return { result, keep: () => (this.#state = { ...this.#state, secretTree: result.tree }) }
  }

  async #openPast(received: PrivateMessage) {
    const past = this.#state.historicalReceiverData.get(received.epoch)
    if (past === undefined) throw new MLSError("Its epoch ended too long ago.")
    const result = await unprotectPrivateMessage(
      past.senderDataSecret,
      received,
      past.secretTree,
      past.ratchetTree,
      past.groupContext,
      config.keyRetentionConfig,
      this.#suite,
    )
    const keep = () => {
      const history = new Map(this.#state.historicalReceiverData).set(received.epoch, {
        ...past,
        secretTree: result.tree,
      })
      this.#state = { ...this.#state, historicalReceiverData: history }
    }
    return { result, keep }
  }

  /** Erase what past epochs are kept for late messages, where they ended before that time. */
  forgetPastEpochs(endedBefore: number): void {
    const kept = [...this.#state.historicalReceiverData].filter(
      ([epoch]) => (this.#endedAt.get(Number(epoch)) ?? -Infinity) >= endedBefore,
    )
    this.#state = { ...this.#state, historicalReceiverData: new Map(kept.slice(-MAX_PAST)) }
    for (const epoch of this.#endedAt.keys()) {
      if (!this.#state.historicalReceiverData.has(BigInt(epoch))) this.#endedAt.delete(epoch)
    }
  }

  // --- commits (§12.4) ---

  /** What another member's commit does, and the group it leads to. MLSError if it is not valid. */
  process(commit: Octets, psks: readonly Psk[], now: number): Promise<CommitReceived> {
    return guarded("The commit is not valid", async () => {
      const received = this.#privateMessage(commit, "commit")
      if (received.epoch !== this.#state.groupContext.epoch) throw new MLSError("It is not of this epoch.")
      const content = (await this.#openPresent(received)).result.content.content
      if (content.contentType !== "commit" || content.sender.senderType !== "member") {
        throw new MLSError("It is no commit of a member.")
      }
      const sender = content.sender.leafIndex
      if (sender === this.ownLeaf) throw new MLSError("It says that we made it.")
      const proposals = content.commit.proposals.map((each) =>
        each.proposalOrRefType === "proposal" ? each.proposal : undefined,
      )
      const does = await this.#whatItDoes(proposals)
      const result = await processPrivateMessage(this.#state, received, pskIndex(psks, []), this.#suite, () => "accept")
      if (result.kind !== "newState") throw new MLSError("It is no commit.")
      const group = this.#next(result.newState, now)
      const path = content.commit.path
      for (const { keyPackage } of does.adds) await checkPublicKey(this.#suite, keyPackage.leafNode.hpkePublicKey)
      if (group !== undefined) {
        for (const node of path?.nodes ?? []) await checkPublicKey(this.#suite, node.hpkePublicKey)
        await group.#checkTree(this.#keysHeld())
      }
      return {
        ...does,
        sender,
        authenticatedData: own(received.authenticatedData),
        hasPath: path !== undefined,
        group,
      }
    })
  }

  async #whatItDoes(proposals: readonly (Proposal | undefined)[]) {
    const adds: Presented[] = []
    const removes: number[] = []
    const pskIds: Octets[] = []
    let hasOthers = false
    for (const each of proposals) {
      if (each?.proposalType === "add") adds.push(await present(this.#suite, each.add.keyPackage))
      else if (each?.proposalType === "remove") removes.push(each.remove.removed)
      else if (each?.proposalType === "psk" && each.psk.preSharedKeyId.psktype === "external") {
        pskIds.push(own(each.psk.preSharedKeyId.pskId))
      } else hasOthers = true
    }
    return { adds, removes, pskIds, hasOthers }
  }

  /**
   * A commit of ours, and the group that it leads to; this group only loses a handshake generation (§9.1).
   *
   * The tree goes in the Welcome. There is a path unless members are only added.
   */
  commit(
    does: {
      readonly add: readonly KeyPackage[]
      readonly remove: readonly number[]
      readonly psk: Psk | undefined
      readonly authenticatedData: Octets
    },
    now: number,
  ): Promise<PendingCommit> {
    return guarded("No commit could be made", async () => {
      const extraProposals: Proposal[] = [
        ...does.add.map((keyPackage) => ({ proposalType: "add" as const, add: { keyPackage } })),
        ...does.remove.map((removed) => ({ proposalType: "remove" as const, remove: { removed } })),
        ...(does.psk ? [this.#pskProposal(does.psk)] : []),
      ]
      const made = await createCommit(
        { state: this.#state, cipherSuite: this.#suite, pskIndex: pskIndex(does.psk ? [does.psk] : [], []) },
        { extraProposals, ratchetTreeExtension: true, authenticatedData: does.authenticatedData },
      )
      await this.#consumeHandshakeGeneration()
      const group = this.#next(made.newState, now)
      if (group === undefined) throw new MLSError("A commit of ours removes ourselves.")
      await group.#checkTree(this.#keysHeld())
      const { welcome } = made
      return {
        message: own(encodeMlsMessage(made.commit)),
        welcome: welcome && own(encodeMlsMessage({ version: "mls10", wireformat: "mls_welcome", welcome })),
        group,
        hasPath: !equal(group.#ownEncryptionKey, this.#ownEncryptionKey),
      }
    })
  }

  get #ownEncryptionKey(): Uint8Array {
    const node = this.#state.ratchetTree[leafToNodeIndex(toLeafIndex(this.ownLeaf))]
    if (node?.nodeType !== "leaf") throw new MLSError("Our own leaf is blank.")
    return node.leaf.hpkePublicKey
  }

  #pskProposal(psk: Psk): Proposal {
    const pskNonce = random(this.#suite.kdf.size)
    return { proposalType: "psk", psk: { preSharedKeyId: { psktype: "external", pskId: psk.id, pskNonce } } }
  }

  /** ts-mls leaves it in place, and the next commit of this epoch would be sealed under the same key and nonce. */
  async #consumeHandshakeGeneration(): Promise<void> {
    const node = leafToNodeIndex(toLeafIndex(this.ownLeaf))
    const { newTree } = await consumeRatchet(this.#state.secretTree, node, "commit", this.#suite)
    this.#state = { ...this.#state, secretTree: newTree }
  }

  #next(state: ClientState, now: number): Group | undefined {
    if (state.groupActiveState.kind === "removedFromGroup") return undefined
    if (state.groupActiveState.kind !== "active") throw new MLSError("It ends the group.")
    const next = new Group(this.#suite, prune(state), new Map(this.#endedAt).set(this.epoch, now))
    next.forgetPastEpochs(-Infinity)
    return next
  }

  // --- checks ---

  #privateMessage(octets: Octets, contentType: PrivateMessage["contentType"]): PrivateMessage {
    const message = decodeMessage(octets)
    if (message.wireformat !== "mls_private_message") throw new MLSError("It is not a PrivateMessage.")
    const received = message.privateMessage
    if (!equal(received.groupId, this.#state.groupContext.groupId)) throw new MLSError("It is of another group.")
    if (received.epoch > this.#state.groupContext.epoch) throw new MLSError("It is of an epoch to come.")
    if (received.contentType !== contentType) throw new MLSError(`It does not hold ${contentType} data.`)
    return received
  }

  /** Which private keys of nodes are held; those have been checked. */
  #keysHeld(): ReadonlySet<string> {
    return new Set(Object.values(this.#state.privatePath.privateKeys).map((key) => encodeBase64url(key)))
  }

  /**
   * §7.3, §7.5: public keys are unique in the tree, and the private keys that a path has given us are theirs. ts-mls
   * compares a tree's keys with each other before a commit, not those that it brings, and never a pair; without the second, a member could hand out secrets that split the group with the next commit.
   */
  async #checkTree(checked: ReadonlySet<string>): Promise<void> {
    const { ratchetTree, privatePath } = this.#state
    const seen = new Set<string>()
    for (const node of ratchetTree) {
      if (node === undefined) continue
      const keys =
        node.nodeType === "leaf"
          ? [node.leaf.hpkePublicKey, node.leaf.signaturePublicKey]
          : [node.parent.hpkePublicKey]
      for (const key of keys.map((each) => encodeBase64url(each))) {
        if (seen.has(key)) throw new MLSError("Two nodes of the tree have the same key.")
        seen.add(key)
      }
    }
    for (const [index, privateKey] of Object.entries(privatePath.privateKeys)) {
      if (checked.has(encodeBase64url(privateKey))) continue
      const node = ratchetTree[Number(index)]
      if (node === undefined) continue
      const publicKey = node.nodeType === "leaf" ? node.leaf.hpkePublicKey : node.parent.hpkePublicKey
      await this.#checkPair(publicKey, privateKey)
    }
  }

  async #checkPair(publicKey: Uint8Array, privateKey: Uint8Array): Promise<void> {
    const { hpke } = this.#suite
    const probe = utf8("probe")
    const { ct, enc } = await hpke.seal(await hpke.importPublicKey(publicKey), probe, new Uint8Array())
    const opened = await hpke.open(await hpke.importPrivateKey(privateKey), enc, ct, new Uint8Array())
    if (!equal(opened, probe)) throw new MLSError("A secret of the path does not fit its public key.")
  }
}

const config = {
  ...defaultClientConfig,
  // Heartbeats and chat of a busy meeting may come out of order by more than the ten that are the default.
  keyRetentionConfig: { retainKeysForGenerations: 32, retainKeysForEpochs: MAX_PAST, maximumForwardRatchetSteps: 1000 },
}

/** Keys of nodes that are blank now, or above us no longer, open nothing that is to be opened. */
function prune(state: ClientState): ClientState {
  const { ratchetTree, privatePath } = state
  const own = leafToNodeIndex(toLeafIndex(privatePath.leafIndex))
  const above = new Set<number>([own, ...directPath(own, leafWidth(ratchetTree.length))])
  const kept = Object.entries(privatePath.privateKeys).filter(
    ([index]) => above.has(Number(index)) && ratchetTree[Number(index)] !== undefined,
  )
  return { ...state, privatePath: { ...privatePath, privateKeys: Object.fromEntries(kept) } }
}

/** Notes in `asked` which external PSKs were looked for, in order. */
function pskIndex(psks: readonly Psk[], asked: string[]): PskIndex {
  const secrets = new Map(psks.map(({ id, secret }) => [encodeBase64url(id), secret]))
  return {
    findPsk(wanted) {
      if (wanted.psktype !== "external") return undefined
      const id = encodeBase64url(wanted.pskId)
      asked.push(id)
      return secrets.get(id)
    },
  }
}

function decodeMessage(octets: Octets) {
  const decoded = decodeMlsMessage(octets, 0)
  if (decoded === undefined || decoded[1] !== octets.length) throw new MLSError("This is not one MLSMessage.")
  if (decoded[0].version !== "mls10") throw new MLSError("This is of another version of MLS.")
  return decoded[0]
}

function encodePrivate(privateMessage: PrivateMessage): Octets {
  return concat(encodeMlsMessage({ version: "mls10", wireformat: "mls_private_message", privateMessage }))
}
