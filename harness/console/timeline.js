// Notifications, requests and what the platform and phones say, as they happen.

const SHOWN_MAX = 500;

/** What an entry is about, in a line; and whether it is bad news. */
function words(entry) {
  switch (entry.kind) {
    case 'request': return [`${entry.method} ${entry.uri}`];
    case 'sent': return [`${entry.method} ${entry.uri} ${told(entry.body)}`];
    case 'response':
    case 'answered': {
      const took = `${entry.tookMs?.toFixed(1)} ms`;
      return entry.failure ? [`no answer: ${entry.failure} (${took})`, true]
        : [`${entry.status} after ${took}`, entry.status >= 400];
    }
    case 'event': {
      const result = entry.result?.message ?? entry.words ?? entry.state ?? entry.status ?? '';
      const said = entry.said ? Object.keys(entry.said).join() : '';
      return [`${entry.event} ${result} ${said}`];
    }
    case 'phone': return [Object.keys(entry.said ?? {}).join()];
    default: return [entry.words ?? entry.kind, true];
  }
}

/** What a notification is about. */
function told(body) {
  const values = Array.isArray(body?.value) ? body.value : [];
  return values.map(one => `${one.changeType} ${one.resourceData?.state ?? one.resourceUrl ?? ''}`).join(', ');
}

export class Timeline {
  hidden = new Set(['phone']);

  constructor(list, filters) {
    this.list = list;
    for (const kind of ['request', 'response', 'sent', 'answered', 'event', 'phone']) {
      const label = document.createElement('label');
      label.className = 'check';
      const box = Object.assign(document.createElement('input'), {
        type: 'checkbox', checked: !this.hidden.has(kind),
      });
      box.onchange = () => {
        box.checked ? this.hidden.delete(kind) : this.hidden.add(kind);
        for (const item of list.children) item.hidden = this.hidden.has(item.dataset.kind);
      };
      label.append(box, ` ${kind}`);
      filters.append(label);
    }
  }

  add(entry) {
    const item = document.createElement('li');
    item.dataset.kind = entry.kind;
    item.hidden = this.hidden.has(entry.kind);
    const details = document.createElement('details');
    const summary = document.createElement('summary');
    const [text, bad] = words(entry);
    const part = (name, content) =>
      Object.assign(document.createElement(name), { textContent: content });
    summary.append(part('span', entry.at?.slice(11, 23) ?? ''), part('b', entry.kind), part('span', text));
    summary.classList.toggle('bad', Boolean(bad));
    details.append(summary);
    // What is inside is written out only for who looks.
    details.addEventListener('toggle', () => {
      if (details.open && details.children.length === 1) {
        details.append(part('pre', JSON.stringify(entry, null, 2)));
      }
    });
    item.append(details);
    const follows = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    this.list.append(item);
    while (this.list.children.length > SHOWN_MAX) this.list.firstChild.remove();
    if (follows) this.list.scrollTop = this.list.scrollHeight;
  }
}
