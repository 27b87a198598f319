// A bot written with Microsoft's own clients for JavaScript, against the rig: msal-node
// gets the token, microsoft-graph-client makes every request. What differs from a bot for
// the real platform is the base addresses alone.

import assert from "node:assert/strict";
import { createPublicKey, createVerify } from "node:crypto";
import { createServer } from "node:http";

import { ConfidentialClientApplication } from "@azure/msal-node";
import { Client } from "@microsoft/microsoft-graph-client";

const { RIG, RIG_CONTROL } = process.env;
const APP = "11111111-1111-4111-8111-111111111112";
const TENANT = "33333333-3333-4333-8333-333333333333";
const ANN = "22222222-2222-4222-8222-222222222222";
const BOB = "22222222-2222-4222-8222-222222222223";
const PORT = 39782;
const HOME = `http://127.0.0.1:${PORT}`;
const PATIENCE_MS = 30_000;

const login = new ConfidentialClientApplication({
  auth: {
    clientId: APP,
    clientSecret: "s3cret of JavaScript",
    authority: `${RIG}/${TENANT}`,
    knownAuthorities: [new URL(RIG).host],
  },
});

const graph = Client.init({
  baseUrl: RIG,
  defaultVersion: "v1.0",
  customHosts: new Set([new URL(RIG).hostname]),
  authProvider: async (done) => {
    try {
      const scopes = ["https://graph.microsoft.com/.default"];
      done(null, (await login.acquireTokenByClientCredential({ scopes })).accessToken);
    } catch (error) {
      done(error, null);
    }
  },
});

const waiting = [];
const listeners = [];
const refused = [];
let keys = [];

function hear(item) {
  const at = listeners.findIndex(({ fits }) => fits(item));
  if (at < 0) waiting.push(item);
  else listeners.splice(at, 1)[0].resolve(item);
}

function told(what, fits) {
  const at = waiting.findIndex(fits);
  if (at >= 0) return Promise.resolve(waiting.splice(at, 1)[0]);
  return new Promise((resolve, reject) => {
    const listener = { fits, resolve };
    listeners.push(listener);
    const timer = setTimeout(() => {
      reject(new Error(`never told: ${what}; saw ${JSON.stringify(waiting)}`));
    }, PATIENCE_MS);
    timer.unref();
  });
}

/// Throws unless the token is the platform's, for this app, and now.
function believe(authorization) {
  const [header, claims, signature] = authorization.split(" ")[1].split(".");
  const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
  const { alg, kid } = read(header);
  assert.equal(alg, "RS256");
  const jwk = keys.find((key) => key.kid === kid);
  const verify = createVerify("RSA-SHA256").update(`${header}.${claims}`);
  const key = createPublicKey({ key: jwk, format: "jwk" });
  assert(verify.verify(key, Buffer.from(signature, "base64url")), "its signature is wrong");
  const { aud, iss, tid, exp } = read(claims);
  assert.deepEqual([aud, iss, tid], [APP, "https://api.botframework.com", TENANT]);
  assert(exp > Date.now() / 1000, "it is old");
}

/// A second of a triangle: WAV, one channel, 16 bits, 16 kHz.
function promptFile() {
  const file = Buffer.alloc(44 + 32_000);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + 32_000, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(16_000, 24);
  file.writeUInt32LE(32_000, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(32_000, 40);
  for (let n = 0; n < 16_000; n += 1) {
    file.writeInt16LE(Math.abs((n % 40) - 20) * 400 - 4000, 44 + n * 2);
  }
  return file;
}

const server = createServer(async (request, response) => {
  if (request.method === "GET") {
    response.writeHead(200, { "Content-Type": "audio/wav" }).end(promptFile());
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    believe(request.headers.authorization);
  } catch (error) {
    refused.push(String(error));
    response.writeHead(401).end();
    return;
  }
  response.writeHead(202).end();
  for (const item of JSON.parse(Buffer.concat(chunks)).value) hear(item);
});

async function rig(method, path, body) {
  const response = await fetch(RIG_CONTROL + path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  assert(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

async function rungAt(user) {
  for (let tries = 0; tries < PATIENCE_MS / 100; tries += 1) {
    const { legs } = await rig("GET", "/rig/legs");
    const found = legs.find(({ party, standing }) => party.user === user && standing === "ringing");
    if (found) return found.id;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nobody rings at ${user}`);
}

async function answeredBy(user) {
  const leg = await rungAt(user);
  await rig("POST", `/rig/legs/${leg}/answer`, {});
  return leg;
}

const hangUp = (leg) => rig("POST", `/rig/legs/${leg}/hangUp`, {});

const inState = (call, state) => ({ resourceUrl, resourceData }) =>
  resourceUrl.toLowerCase().endsWith(`/calls/${call}`) && resourceData.state === state;
const ended = (call) => ({ changeType, resourceUrl }) =>
  changeType === "deleted" && resourceUrl.toLowerCase().includes(call);
const rosterWithout = (call, user) => ({ resourceUrl, resourceData }) =>
  resourceUrl.toLowerCase().endsWith(`/calls/${call}/participants`) &&
  !resourceData.some(({ info }) => info.identity.user?.id === user);
const completed = (id) => ({ resourceData }) =>
  resourceData.id === id && resourceData.status === "completed";
const hosted = { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" };
const person = (id) => ({
  "@odata.type": "#microsoft.graph.invitationParticipantInfo",
  identity: { "@odata.type": "#microsoft.graph.identitySet", user: { id } },
});
const prompts = [
  {
    "@odata.type": "#microsoft.graph.mediaPrompt",
    mediaInfo: { "@odata.type": "#microsoft.graph.mediaInfo", uri: `${HOME}/prompt.wav` },
  },
];
const callbackUri = `${HOME}/api/calls`;
const path = (call, rest = "") => `/communications/calls/${call}${rest}`;
const newCall = (...targets) =>
  graph.api("/communications/calls").post({
    "@odata.type": "#microsoft.graph.call",
    callbackUri,
    requestedModalities: ["audio"],
    mediaConfig: hosted,
    targets: targets.map(person),
    tenantId: TENANT,
  });

async function rings() {
  const called = await rig("POST", "/rig/calls", { user: "Ann", app: APP });
  await told("incoming", inState(called.call, "incoming"));
  return called;
}

async function answered() {
  const called = await rings();
  const body = { callbackUri, acceptedModalities: ["audio"], mediaConfig: hosted };
  await graph.api(path(called.call, "/answer")).post(body);
  await told("established", inState(called.call, "established"));
  return called;
}

const steps = {
  async incoming() {
    const { call, leg } = await answered();
    const keysAsked = await graph.api(path(call, "/subscribeToTone")).post({ clientContext: "k" });
    assert.equal(keysAsked.status, "completed");
    const played = await graph.api(path(call, "/playPrompt")).post({ clientContext: "p", prompts });
    assert.equal(played.status, "running");
    await told("the prompt was played", completed(played.id));
    await rig("POST", `/rig/legs/${leg}/press`, { keys: "7" });
    await told("a key", ({ resourceData }) => resourceData.toneInfo?.tone === "tone7");
    const recorded = await graph.api(path(call, "/recordResponse")).post({
      clientContext: "r",
      maxRecordDurationInSeconds: 2,
      initialSilenceTimeoutInSeconds: 1,
      maxSilenceTimeoutInSeconds: 1,
      playBeep: false,
    });
    await told("the end of the recording", ({ resourceData }) => resourceData.id === recorded.id);
    await graph.api(path(call, "/cancelMediaProcessing")).post({ clientContext: "c" });
    await graph.api(path(call, "/keepAlive")).post({});
    assert.equal((await graph.api(path(call)).get()).state, "established");
    assert.equal((await graph.api(path(call, "/participants")).get()).value.length, 2);
    await graph.api(path(call)).delete();
    await told("the end", ended(call));
    await assert.rejects(graph.api(path(call)).get(), { statusCode: 404, code: "8522" });
  },
  async outgoing() {
    const call = await newCall(BOB);
    assert.equal(call.state, "establishing");
    const leg = await answeredBy(BOB);
    await told("established", inState(call.id, "established"));
    await hangUp(leg);
    await told("the end", ended(call.id));
  },
  async rejectedAndRedirected() {
    const first = await rings();
    await graph.api(path(first.call, "/reject")).post({ reason: "busy" });
    await told("the end", ended(first.call));
    const second = await rings();
    const body = { targets: [person(BOB)], callbackUri, timeout: 30 };
    await graph.api(path(second.call, "/redirect")).post(body);
    const leg = await answeredBy(BOB);
    await told("the end", ended(second.call));
    await hangUp(leg);
  },
  async transferred() {
    const { call } = await answered();
    await graph.api(path(call, "/transfer")).post({ transferTarget: person(BOB) });
    const leg = await answeredBy(BOB);
    await told("the end", ended(call));
    await hangUp(leg);
  },
  async group() {
    const { id } = await newCall(ANN, BOB);
    const ann = await answeredBy(ANN);
    await answeredBy(BOB);
    await told("established", inState(id, "established"));
    for (const action of ["mute", "unmute"]) {
      const done = await graph.api(path(id, `/${action}`)).post({ clientContext: action });
      assert.equal(done.status, "completed");
    }
    const roster = (await graph.api(path(id, "/participants")).get()).value;
    assert.equal(roster.length, 3);
    const bob = roster.find(({ info }) => info.identity.user?.id === BOB);
    const one = path(id, `/participants/${bob.id}`);
    const muted = await graph.api(`${one}/mute`).post({ clientContext: "Bob" });
    assert.equal(muted.status, "completed");
    assert.equal((await graph.api(one).get()).isMuted, true);
    const hold = { customPrompt: prompts[0], clientContext: "hold" };
    const held = await graph.api(`${one}/startHoldMusic`).post(hold);
    await told("Bob is on hold", completed(held.id));
    const back = await graph.api(`${one}/stopHoldMusic`).post({ clientContext: "back" });
    await told("Bob is back", completed(back.id));
    const asked = { clientContext: "gallery" };
    const gallery = await graph.api(path(id, "/addLargeGalleryView")).post(asked);
    await told("there is a gallery", completed(gallery.id));
    await graph.api(one).delete();
    await told("Bob was removed", rosterWithout(id, BOB));
    await graph.api(path(id)).delete();
    await told("the end", ended(id));
    await hangUp(ann);
  },
  async invited() {
    const { call } = await answered();
    const body = { participants: [person(BOB)], clientContext: "i" };
    const operation = await graph.api(path(call, "/participants/invite")).post(body);
    const leg = await answeredBy(BOB);
    await told("Bob is in", completed(operation.id));
    await graph.api(path(call)).delete();
    await told("the end", ended(call));
    await hangUp(leg);
  },
  async joined() {
    const { chatInfo } = await graph.api(`/users/${ANN}/onlineMeetings`).post({ subject: "Standup" });
    const organizer = { user: { id: ANN, tenantId: TENANT } };
    const meetingInfo = { "@odata.type": "#microsoft.graph.organizerMeetingInfo", organizer };
    const { id } = await graph.api("/communications/calls").post({
      "@odata.type": "#microsoft.graph.call",
      callbackUri,
      requestedModalities: ["audio"],
      mediaConfig: hosted,
      chatInfo: { threadId: chatInfo.threadId, messageId: "0" },
      meetingInfo,
      tenantId: TENANT,
    });
    await told("established", inState(id, "established"));
    assert.equal((await graph.api(path(id, "/participants")).get()).value.length, 1);
    await graph.api(path(id)).delete();
    await told("the end", ended(id));
  },
  async meetings() {
    const mine = `/users/${ANN}/onlineMeetings`;
    const made = await graph.api(mine).post({ subject: "Plans" });
    assert.equal(made.subject, "Plans");
    const found = await graph.api(mine).filter(`JoinWebUrl eq '${made.joinWebUrl}'`).get();
    assert.equal(found.value[0].id, made.id);
    const changed = await graph.api(`${mine}/${made.id}`).patch({ subject: "Better plans" });
    assert.equal(changed.subject, "Better plans");
    await graph.api(`${mine}/${made.id}`).delete();
    await assert.rejects(graph.api(`${mine}/${made.id}`).get(), { statusCode: 404 });
  },
};

await new Promise((resolve) => server.listen(PORT, "127.0.0.1", resolve));
const metadata = await (await fetch(`${RIG_CONTROL}/v1/.well-known/OpenIdConfiguration`)).json();
keys = (await (await fetch(metadata.jwks_uri)).json()).keys;
let failed = 0;
const wanted = process.argv.slice(2);
for (const [name, step] of Object.entries(steps)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  try {
    await step();
    console.log(`  ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`  FAILED  ${name}: ${error.message ?? error}`);
  }
}
if (refused.length > 0) {
  failed += 1;
  console.log(`  FAILED  notifications that were not believed: ${refused}`);
}
process.exit(failed ? 1 : 0);
