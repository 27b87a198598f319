// What the browser counts of the call, once a second (W3C webrtc-stats).

const KINDS = { 'inbound-rtp': 'in', 'outbound-rtp': 'out' };

/** Rows of figures; those that are per second are since the last time. */
export class Statistics {
  before = new Map();

  async read(connection) {
    const stats = await connection.getStats();
    const rows = [];
    let way = '';
    for (const one of stats.values()) {
      if (KINDS[one.type]) rows.push(this.row(one, stats));
      if (one.type === 'candidate-pair' && one.nominated && one.state === 'succeeded') {
        const [local, remote] = [stats.get(one.localCandidateId), stats.get(one.remoteCandidateId)];
        const transport = stats.get(one.transportId);
        way = `${local?.protocol} ${local?.address ?? ''}:${local?.port} to ` +
          `${remote?.address}:${remote?.port}, ${transport?.srtpCipher ?? ''}, ` +
          `round trip ${ms(one.currentRoundTripTime)} ms`;
      }
    }
    return { rows, way };
  }

  row(one, stats) {
    const before = this.before.get(one.id);
    this.before.set(one.id, one);
    const inbound = one.type === 'inbound-rtp';
    const report = inbound ? null : [...stats.values()].find(
      other => other.type === 'remote-inbound-rtp' && other.localId === one.id);
    const codec = stats.get(one.codecId)?.mimeType?.split('/')[1] ?? '';
    const bytes = inbound ? 'bytesReceived' : 'bytesSent';
    const seconds = before ? (one.timestamp - before.timestamp) / 1000 : 0;
    const rate = seconds > 0 ? (one[bytes] - before[bytes]) * 8 / 1000 / seconds : 0;
    return {
      stream: `${one.kind} ${KINDS[one.type]}${one.contentType === 'screenshare' ? ' (screen)' : ''}`,
      codec,
      rate: rate.toFixed(0),
      packets: inbound ? one.packetsReceived : one.packetsSent,
      lost: inbound ? one.packetsLost : report?.packetsLost ?? '',
      jitter: ms(inbound ? one.jitter : report?.jitter),
      delay: inbound ? ms(one.jitterBufferDelay / (one.jitterBufferEmittedCount || 1))
        : ms(report?.roundTripTime),
      more: more(one, inbound),
    };
  }
}

function more(one, inbound) {
  const figures = one.kind === 'video'
    ? { fps: one.framesPerSecond, width: one.frameWidth, height: one.frameHeight,
        keys: inbound ? one.keyFramesDecoded : one.keyFramesEncoded,
        frozen: one.freezeCount, nacks: one.nackCount, plis: one.pliCount }
    : { concealed: one.concealmentEvents, level: one.audioLevel?.toFixed(2) };
  return Object.entries(figures).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`).join(', ');
}

function ms(seconds) {
  return Number.isFinite(seconds) ? (seconds * 1000).toFixed(1) : '';
}
