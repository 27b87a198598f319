// A voice menu in JavaScript, written from the Graph documentation: it answers, plays a
// menu, plays it again on 1 and hangs up on 9. Node.js 20 or later, nothing installed and
// nothing of callrig's.
//
//     node bot.mjs
//
// Where things are comes from the environment; the defaults are those of callrig:
// GRAPH, LOGIN, OPENID, APP_ID, APP_SECRET, TENANT, PORT.

import { createPublicKey, randomUUID, verify } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const {
  PLATFORM = "http://127.0.0.1:9440",
  GRAPH = PLATFORM,
  LOGIN = PLATFORM,
  OPENID = `${PLATFORM}/v1/.well-known/OpenIdConfiguration`,
  APP_ID = "11111111-1111-4111-8111-111111111111",
  APP_SECRET = "demonstration",
  TENANT = "common",
  PORT = "3978",
} = process.env;
const HOME = `http://127.0.0.1:${PORT}`;
const ISSUERS = ["https://api.botframework.com", "https://graph.microsoft.com"];
const BODY_BYTES_MAX = 4 << 20;
const PATIENCE_MS = 20_000;
const LEEWAY_S = 300;

class Unavailable extends Error {}

async function json(url, options = {}) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

// The keys that the platform signs notifications with. A key that is not known may be new;
// whoever forges tokens does not make us ask again and again.
const keys = {
  known: new Map(),
  readAt: -Infinity,
  reading: null,

  async find(kid) {
    if (!this.known.has(kid) && performance.now() - this.readAt > 10_000) {
      this.reading ??= this.read().finally(() => (this.reading = null));
      await this.reading;
    }
    return this.known.get(kid);
  },

  async read() {
    try {
      const published = await json((await json(OPENID)).jwks_uri);
      const pairs = published.keys.filter(({ kid, kty }) => kid && kty === "RSA");
      const key = (one) => createPublicKey({ key: one, format: "jwk" });
      this.known = new Map(pairs.map((one) => [one.kid, key(one)]));
      this.readAt = performance.now();
    } catch (error) {
      throw new Unavailable("the keys cannot be had now", { cause: error });
    }
  },
};

// Whether a notification is the platform's.
async function believes(request) {
  const [scheme, token = ""] = (request.headers.authorization ?? "").split(" ");
  const [head, claims, signature, ...more] = token.split(".");
  if (scheme.toLowerCase() !== "bearer" || !signature || more.length) return false;
  let header, body;
  try {
    header = JSON.parse(Buffer.from(head, "base64url"));
    body = JSON.parse(Buffer.from(claims, "base64url"));
  } catch {
    return false;
  }
  if (header?.alg !== "RS256" || typeof header.kid !== "string") return false;
  const key = await keys.find(header.kid);
  const signed = Buffer.from(`${head}.${claims}`);
  if (!key || !verify("sha256", signed, key, Buffer.from(signature, "base64url"))) return false;
  const now = Date.now() / 1000;
  const audiences = [body.aud].flat();
  return (
    audiences.includes(APP_ID) && ISSUERS.includes(body.iss) && Boolean(body.tid) &&
    now < body.exp + LEEWAY_S && now > body.nbf - LEEWAY_S
  );
}

// A token, kept as long as it is good; one asks for all who wait.
const login = {
  token: null,
  goodUntil: 0,
  asking: null,

  bearer() {
    if (this.token && performance.now() < this.goodUntil) return this.token;
    this.asking ??= this.ask().finally(() => (this.asking = null));
    return this.asking;
  },

  async ask() {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: APP_ID,
      client_secret: APP_SECRET,
      scope: "https://graph.microsoft.com/.default",
    });
    for (let pause = 500, attempt = 0; attempt < 5; attempt += 1, pause *= 2) {
      const url = `${LOGIN}/${TENANT}/oauth2/v2.0/token`;
      const answer = await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(PATIENCE_MS) });
      if (answer.ok) {
        const given = await answer.json();
        this.token = given.access_token;
        this.goodUntil = performance.now() + (given.expires_in - 60) * 1000;
        return this.token;
      }
      await answer.arrayBuffer();
      const asked = Number(answer.headers.get("retry-after"));
      await sleep(asked ? asked * 1000 : pause);
    }
    throw new Error("no token");
  },
};

// One request to the API, again when the platform wants it later; its answer's JSON, or null.
async function graph(method, path, body) {
  for (let pause = 500, attempt = 0; attempt < 4; attempt += 1) {
    const answer = await fetch(`${GRAPH}/v1.0${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await login.bearer()}`,
        "client-request-id": randomUUID(),
        ...(body && { "content-type": "application/json" }),
      },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await answer.text();
    if (answer.ok) return text ? JSON.parse(text) : {};
    if (answer.status === 401 && attempt === 0) {
      login.token = null;
      continue;
    }
    if (answer.status !== 429 && answer.status !== 503) return null;
    const asked = Number(answer.headers.get("retry-after"));
    await sleep(asked ? asked * 1000 : pause);
    pause *= 2;
  }
  return null;
}

// One call: what the platform said of it, and what the bot does about it.
class Call {
  over = false;
  #tones = new Set();
  #pressed = [];
  #wake = () => {};
  #active = Promise.withResolvers?.() ?? withResolvers();

  constructor(id) {
    this.path = `/communications/calls/${encodeURIComponent(id)}`;
  }

  // From the answer to the end.
  async menu() {
    await graph("POST", `${this.path}/answer`, {
      callbackUri: `${HOME}/api/calls`,
      acceptedModalities: ["audio"],
      mediaConfig: { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
    });
    await this.#active.promise;
    await this.media("subscribeToTone", {});
    await this.play();
    for (let tone = await this.key(); tone; tone = await this.key()) {
      if (tone === "tone1") await this.play();
      if (tone === "tone9") return graph("DELETE", this.path);
    }
  }

  media(action, body) {
    if (this.over) return null;
    return graph("POST", `${this.path}/${action}`, { ...body, clientContext: randomUUID() });
  }

  play() {
    const mediaInfo = {
      "@odata.type": "#microsoft.graph.mediaInfo",
      uri: `${HOME}/menu.wav`,
      resourceId: randomUUID(),
    };
    return this.media("playPrompt", {
      prompts: [{ "@odata.type": "#microsoft.graph.mediaPrompt", mediaInfo }],
    });
  }

  // The next key; nothing once the call is over.
  async key() {
    while (!this.over && this.#pressed.length === 0) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
    return this.over ? undefined : this.#pressed.shift();
  }

  told(data) {
    const state = String(data.state ?? "").toLowerCase();
    if (state === "established" && String(data.mediaState?.audio).toLowerCase() === "active") {
      this.#active.resolve();
    }
    const tone = data.toneInfo;
    // What is told twice is pressed once.
    if (tone && !this.#tones.has(tone.sequenceId)) {
      this.#tones.add(tone.sequenceId);
      this.#pressed.push(String(tone.tone).toLowerCase());
      this.#wake();
    }
  }

  ended() {
    this.over = true;
    this.#active.resolve();
    this.#wake();
  }
}

function withResolvers() {
  let resolve;
  return { promise: new Promise((done) => (resolve = done)), resolve };
}

const calls = new Map();
const ended = new Set();

// One item of a notification; what is not known is not minded.
function take(item) {
  const path = String(item?.resourceUrl ?? item?.resource ?? "").split("/");
  const place = path.indexOf("calls") + 1;
  const data = item?.resourceData;
  if (place === 0 || place !== path.length - 1 || typeof data !== "object" || !data) return;
  const id = path[place];
  const change = String(item.changeType ?? "").toLowerCase();
  const call = calls.get(id);
  if (change === "created" && !call && !ended.has(id)) {
    const made = new Call(id);
    calls.set(id, made);
    made.menu().catch((error) => console.error(`${id}: ${error.message}`));
  } else if (call && change === "deleted") {
    calls.delete(id);
    ended.add(id);
    call.ended();
  } else if (call) {
    call.told(data);
  }
}

async function read(request) {
  const parts = [];
  let bytes = 0;
  for await (const part of request) {
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function notified(request) {
  if (!(await believes(request))) return [401];
  const text = await read(request);
  if (text === null) return [413];
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return [400];
  }
  // Skype's form: the platform tells it again.
  if (body && "callState" in Object(body) && !("value" in body)) return [204];
  if (!Array.isArray(body?.value)) return [400];
  body.value.forEach(take);
  return [202];
}

// A second of a tone: WAV, mono, 16 bits, 16 kHz.
function menuFile() {
  const samples = 16_000;
  const file = Buffer.alloc(44 + 2 * samples);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + 2 * samples, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(16_000, 24);
  file.writeUInt32LE(32_000, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(2 * samples, 40);
  for (let n = 0; n < samples; n += 1) {
    file.writeInt16LE(Math.abs((n % 40) - 20) * 800 - 8_000, 44 + 2 * n);
  }
  return file;
}

const MENU = menuFile();

async function serve(request) {
  if (request.method === "POST" && request.url === "/api/calls") {
    try {
      return await notified(request);
    } catch (error) {
      if (error instanceof Unavailable) return [503, { "retry-after": "1" }];
      throw error;
    }
  }
  if (request.method === "GET" && request.url === "/menu.wav") {
    return [200, { "content-type": "audio/wav" }, MENU];
  }
  return [404];
}

createServer((request, response) => {
  serve(request).then(
    ([status, headers = {}, body]) => response.writeHead(status, headers).end(body),
    (error) => {
      console.error(error);
      response.writeHead(500).end();
    },
  );
}).listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${HOME}`));
