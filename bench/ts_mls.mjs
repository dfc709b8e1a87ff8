// The operations of bench/operations.py by ts-mls: node ts_mls.mjs INDEX_URL SUITE_NAME SIZE SECONDS
// prints {operation: least seconds}. Its states are values, so that each operation can be run again.

const [indexUrl, suiteName, sizeText, secondsText] = process.argv.slice(2);
const mls = await import(indexUrl);
const suite = await mls.getCiphersuiteImpl(mls.getCiphersuiteFromName(suiteName));
const size = Number(sizeText);
const now = BigInt(Math.floor(Date.now() / 1000));
const lifetime = { notBefore: now - 3600n, notAfter: now + 86400n };

async function client(name) {
  const credential = { credentialType: "basic", identity: new TextEncoder().encode(name) };
  return mls.generateKeyPackage(credential, mls.defaultCapabilities(), lifetime, [], suite);
}

const encode = {
  keyPackage: (keyPackage) => mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_key_package", keyPackage }),
  welcome: (welcome) => mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_welcome", welcome }),
  application: (privateMessage) =>
    mls.encodeMlsMessage({ version: "mls10", wireformat: "mls_private_message", privateMessage }),
};
const decode = (bytes) => mls.decodeMlsMessage(bytes, 0)[0];

async function commit(state, adds = [], removes = []) {
  const extraProposals = [
    ...adds.map((bytes) => ({ proposalType: "add", add: { keyPackage: decode(bytes).keyPackage } })),
    ...removes.map((removed) => ({ proposalType: "remove", remove: { removed } })),
  ];
  const made = await mls.createCommit(
    { state, cipherSuite: suite },
    { extraProposals, ratchetTreeExtension: true },
  );
  return {
    state: made.newState,
    message: mls.encodeMlsMessage(made.commit),
    welcome: made.welcome && encode.welcome(made.welcome),
  };
}

const join = (welcome, { publicPackage, privatePackage }) =>
  mls.joinGroup(decode(welcome).welcome, publicPackage, privatePackage, mls.emptyPskIndex, suite);

const read = (state, message) =>
  mls.processPrivateMessage(state, decode(message).privateMessage, mls.emptyPskIndex, suite);

async function encrypt(state, data) {
  const made = await mls.createApplicationMessage(state, data, suite);
  return { state: made.newState, message: encode.application(made.privateMessage) };
}

const creator = await client("creator");
const others = [];
for (let index = 1; index < size; index++) others.push(await client(`member ${index}`));
const packages = others.map((other) => encode.keyPackage(other.publicPackage));

async function create() {
  const groupId = new TextEncoder().encode("a group to measure");
  return commit(
    await mls.createGroup(groupId, creator.publicPackage, creator.privatePackage, [], suite),
    packages,
  );
}

const { state: fresh, welcome } = await create();
const held = new Map([[0, fresh]]);
for (let index = 1; index < size; index *= 2) held.set(index, await join(welcome, others[index - 1]));
held.set(size - 1, await join(welcome, others[size - 2]));
for (const committer of [...held.keys()].filter((index) => index > 0).concat(0)) {
  const made = await commit(held.get(committer));
  for (const [index, state] of held)
    held.set(index, index === committer ? made.state : (await read(state, made.message)).newState);
}
const populated = held.get(0);
const last = held.get(size - 1);
const newcomer = await client("newcomer");
const newPackage = encode.keyPackage(newcomer.publicPackage);
const [updated, added, removed] = [
  await commit(populated),
  await commit(populated, [newPackage]),
  await commit(populated, [], [1]),
];
const data = new Uint8Array(100);
const first = await encrypt(populated, data);
const reader = (await read(last, first.message)).newState;
const second = await encrypt(first.state, data);

const operations = {
  create,
  "join, fresh tree": () => join(welcome, others[size - 2]),
  "join, populated tree": () => join(added.welcome, newcomer),
  "self-update, cold": () => commit(fresh),
  "self-update": () => commit(populated),
  add: () => commit(populated, [newPackage]),
  remove: () => commit(populated, [], [1]),
  "process self-update": () => read(last, updated.message),
  "process add": () => read(last, added.message),
  "process remove": () => read(last, removed.message),
  encrypt: () => encrypt(first.state, data),
  decrypt: () => read(reader, second.message),
};
const times = {};
for (const [name, run] of Object.entries(operations)) {
  const end = performance.now() + Number(secondsText) * 1000;
  let [least, runs] = [Infinity, 0];
  while (runs < (runs > 0 && least > 5000 ? 1 : 3) || (performance.now() < end && runs < 500)) {
    const start = performance.now();
    await run();
    least = Math.min(least, performance.now() - start);
    runs++;
  }
  times[name] = least / 1000;
}
console.log(JSON.stringify(times));
