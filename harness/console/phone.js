// The person's phone: one connection of WebRTC with the platform, for one call at a time.

import { ask } from './rig.js';

/** What a camera shows in a meeting goes in three sizes, of which everybody sees one. */
const LAYERS = [
  { rid: 'q', scaleResolutionDownBy: 4 },
  { rid: 'h', scaleResolutionDownBy: 2 },
  { rid: 'f' },
];

const wait = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

export class Phone extends EventTarget {
  /** What is sent, as a stream. */
  local = null;
  /** What comes: sound and camera, and a shared screen. */
  remote = new MediaStream();
  screen = new MediaStream();
  connection = null;
  leg = null;
  /** Called when the other side has answered. */
  answered = () => {};

  say(state, bad = false) {
    this.dispatchEvent(new CustomEvent('state', { detail: { state, bad } }));
  }

  /** Calls a bot. */
  async call({ user, app, video }) {
    await this.begin({ send: true, video }, offer => ask('POST', '/rig/calls', { user, app, offer }));
  }

  /** Joins a meeting. */
  async join({ user, meeting, video, listen }) {
    await this.begin({ send: !listen, video, sendEncodings: LAYERS },
      offer => ask('POST', '/rig/legs', { user, meeting, offer }));
  }

  /** Takes a call that rings. */
  async take({ leg, video }) {
    await this.begin({ send: true, video },
      async offer => {
        await ask('POST', `/rig/legs/${leg}/answer`, { offer });
        return { leg };
      });
  }

  async begin({ send, video, sendEncodings }, ring) {
    if (this.connection) throw new Error('there is a call already');
    this.connection = new RTCPeerConnection();
    try {
      await this.prepare(send, video, sendEncodings);
      await this.connection.setLocalDescription();
      await this.gathered();
      this.say('ringing');
      const rung = await ring(marked(this.connection.localDescription.sdp));
      this.leg = rung.leg;
      this.say(rung.waits ? 'waiting in the lobby' : 'ringing');
      const answer = await this.answer();
      await this.connection.setRemoteDescription({ type: 'answer', sdp: answer });
    } catch (error) {
      await this.end();
      throw error;
    }
  }

  async prepare(send, video, sendEncodings) {
    const { connection } = this;
    connection.ontrack = event => {
      const screen = event.transceiver === this.screenLine;
      (screen ? this.screen : this.remote).addTrack(event.track);
      this.dispatchEvent(new Event('track'));
    };
    connection.onconnectionstatechange = () => {
      this.say(connection.connectionState, connection.connectionState === 'failed');
      if (connection.connectionState === 'failed') this.end();
    };
    const direction = send ? 'sendrecv' : 'recvonly';
    if (send) {
      const [width, height] = sendEncodings ? [1280, 720] : [640, 480];
      const camera = video && { width, height, frameRate: 30 };
      this.local = await navigator.mediaDevices.getUserMedia({ audio: true, video: camera });
    }
    const track = kind => this.local?.getTracks().find(one => one.kind === kind);
    const line = (kind, how) =>
      connection.addTransceiver(track(kind) ?? kind, { direction, ...how });
    this.audioLine = line('audio');
    this.videoLine = line('video', track('video') && sendEncodings && { sendEncodings });
    this.screenLine = connection.addTransceiver('video', { direction });
    for (const one of [this.videoLine, this.screenLine]) preferH264(one);
    this.dispatchEvent(new Event('track'));
  }

  async gathered() {
    // Candidates are of no use to a platform that waits for checks; they are not waited for long.
    for (let tries = 0; tries < 50 && this.connection.iceGatheringState !== 'complete'; tries++) {
      await wait(20);
    }
  }

  /** The platform's answer, once the other side has answered: the timeline tells of that, and
      whoever looks in between misses nothing. */
  async answer() {
    for (;;) {
      if (!this.connection) throw new Error('hung up');
      try {
        return await ask('GET', `/rig/legs/${this.leg}/answer.sdp`);
      } catch (error) {
        if (error.status === 404) throw new Error('the call is over: the timeline says why');
        if (error.status !== 409) throw error;
      }
      await Promise.race([wait(1000), new Promise(resolve => { this.answered = resolve; })]);
    }
  }

  /** Another thing is done at the leg. */
  act(what, how = {}) {
    return ask('POST', `/rig/legs/${this.leg}/${what}`, how);
  }

  async mute(on) {
    for (const track of this.local?.getAudioTracks() ?? []) track.enabled = !on;
    // In a call of two nobody but the phone mutes.
    await this.act('mute', { on }).catch(() => {});
  }

  dark(on) {
    for (const track of this.local?.getVideoTracks() ?? []) track.enabled = !on;
  }

  async share(on) {
    const shared = on ? await navigator.mediaDevices.getDisplayMedia({ video: true }) : null;
    this.shared?.getTracks().forEach(track => track.stop());
    this.shared = shared;
    await this.screenLine.sender.replaceTrack(shared?.getVideoTracks()[0] ?? null);
    await this.act('shareScreen', { on }).catch(() => {});
  }

  /** Hangs up, or forgets what the other side has ended. */
  async end() {
    const { connection, leg } = this;
    this.connection = this.leg = null;
    if (leg) await ask('POST', `/rig/legs/${leg}/hangUp`).catch(() => {});
    connection?.close();
    for (const stream of [this.local, this.shared]) stream?.getTracks().forEach(one => one.stop());
    this.local = this.shared = null;
    for (const stream of [this.remote, this.screen]) {
      for (const track of stream.getTracks()) stream.removeTrack(track);
    }
    if (connection) this.say('hung up');
  }
}

/** The platform speaks H.264. */
function preferH264(line) {
  const known = RTCRtpReceiver.getCapabilities('video').codecs;
  line.setCodecPreferences?.(known.filter(codec => /h264|rtx/i.test(codec.mimeType)));
}

/** The second line of video is a screen (RFC 4796), which browsers have no word for. */
function marked(sdp) {
  const lines = sdp.split(/(?=^m=)/m);
  const video = lines.flatMap((line, index) => line.startsWith('m=video') ? [index] : []);
  if (video.length > 1) lines[video[1]] += 'a=content:slides\r\n';
  return lines.join('');
}
