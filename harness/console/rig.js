// The control API: /rig/openapi.json says what there is. A token of `rig.token` stands behind
// the # of the page's address.

const token = decodeURIComponent(location.hash.slice(1));
const headers = token ? { authorization: `Bearer ${token}` } : {};

/** Asks for something; refusals are errors with the platform's words. */
export async function ask(method, path, body) {
  const init = { method, headers: { ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers['content-type'] = 'application/json';
  }
  const response = await fetch(path, init);
  const text = await response.text();
  if (!response.ok) {
    let message = text;
    try { message = JSON.parse(text).error.message; } catch { /* not in the usual form */ }
    throw Object.assign(new Error(message || response.statusText), { status: response.status });
  }
  const kind = response.headers.get('content-type') ?? '';
  return kind.startsWith('application/json') ? JSON.parse(text) : text;
}

/** Everything that happens, for as long as the page is open; comes back after a break. */
export async function* happenings() {
  let last = 0;
  for (;;) {
    try {
      const response = await fetch(`/rig/events?after=${last}`, { headers });
      if (!response.ok) throw new Error(response.statusText);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let waiting = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        waiting += value;
        const blocks = waiting.split('\n\n');
        waiting = blocks.pop();
        for (const block of blocks) {
          const data = block.split('\n').filter(line => line.startsWith('data:'));
          if (data.length === 0) continue;
          const entry = JSON.parse(data.map(line => line.slice(5).trim()).join('\n'));
          last = Math.max(last, entry.number ?? 0);
          yield entry;
        }
      }
    } catch (error) {
      yield { kind: 'missed', words: `the timeline is interrupted: ${error.message}` };
    }
    await new Promise(resolve => setTimeout(resolve, 1000));
  }
}
