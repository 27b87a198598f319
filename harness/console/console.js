// The page that `callrig serve` shows: a softphone that calls the bot, and what happens.

import { ask, happenings } from './rig.js';
import { Phone } from './phone.js';
import { Statistics } from './statistics.js';
import { Timeline } from './timeline.js';

const $ = id => document.getElementById(id);
const phone = new Phone();
let statistics = new Statistics();

function say(state, bad = false) {
  $('state').textContent = state;
  $('state').classList.toggle('bad', bad);
}

function options(select, entries) {
  select.replaceChildren(...entries.map(({ id, name }) => new Option(name || id, id)));
}

async function fill() {
  const { tenants, apps } = await ask('GET', '/rig/directory');
  options($('user'), tenants.flatMap(tenant => tenant.users));
  options($('app'), apps.filter(app => app.webhook));
  const { ringing: calls } = await ask('GET', '/rig/legs');
  for (const { leg, user } of calls) ringing.set(leg, user);
  showRinging();
}

async function during(act) {
  try {
    await act();
  } catch (error) {
    say(error.message, true);
  }
}

function show() {
  $('mine').srcObject = phone.local;
  $('theirs').srcObject = phone.remote;
  $('screens').srcObject = phone.screen;
  const busy = Boolean(phone.connection);
  $('controls').hidden = !busy;
  $('call').disabled = $('join').disabled = $('take').disabled = busy;
}

/** The call that rings at the person who is chosen, and those that ring at others. */
const ringing = new Map();

function showRinging() {
  const [leg] = [...ringing].find(([, user]) => user === $('user').value) ?? [];
  $('rings').hidden = !leg;
  $('rings').dataset.leg = leg ?? '';
  $('who').textContent = `${$('user').selectedOptions[0]?.text} is called`;
}

phone.addEventListener('track', show);
phone.addEventListener('state', ({ detail }) => {
  say(detail.state, detail.bad);
  show();
});

$('dial').onsubmit = event => {
  event.preventDefault();
  during(() => phone.call(
    { user: $('user').value, app: $('app').value, video: $('video').checked }));
};
$('meet').onsubmit = event => {
  event.preventDefault();
  during(() => phone.join({
    user: $('user').value, meeting: $('meeting').value.trim(),
    video: $('video').checked, listen: $('listen').checked,
  }));
};
$('user').onchange = showRinging;
$('take').onclick = () => during(() => phone.take(
  { leg: $('rings').dataset.leg, video: $('video').checked }));
$('decline').onclick = () => during(() =>
  ask('POST', `/rig/legs/${$('rings').dataset.leg}/decline`));
$('end').onclick = () => during(() => phone.end());

/** A button that is in or out. */
function toggle(id, act) {
  const button = $(id);
  button.onclick = () => during(async () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    await act(on);
    button.setAttribute('aria-pressed', String(on));
  });
}
toggle('mute', on => phone.mute(on));
toggle('dark', on => phone.dark(on));
toggle('share', on => phone.share(on));
toggle('hand', on => phone.act('raiseHand', { on }));

for (const key of '123456789*0#') {
  const button = Object.assign(document.createElement('button'), { textContent: key });
  // The phone has no words for keys of its own: the platform is told directly.
  button.onclick = () => during(() => phone.act('press', { keys: key, how: 'direct' }));
  $('keys').append(button);
}

async function count() {
  if (!phone.connection) {
    statistics = new Statistics();
    return;
  }
  const { rows, way } = await statistics.read(phone.connection);
  const cells = row => Object.values(row).map(value =>
    Object.assign(document.createElement('td'), { textContent: value }));
  $('figures').tBodies[0].replaceChildren(...rows.map(row => {
    const line = document.createElement('tr');
    line.append(...cells(row));
    return line;
  }));
  $('way').textContent = way;
}

async function watch() {
  const timeline = new Timeline($('timeline'), $('filters'));
  for await (const entry of happenings()) {
    timeline.add(entry);
    if (entry.event === 'userRung') ringing.set(entry.leg, entry.user);
    if (['userAnswered', 'legEnded'].includes(entry.event)) ringing.delete(entry.leg);
    showRinging();
    if (entry.event === 'userAnswered' && entry.leg === phone.leg) phone.answered();
    if (entry.event === 'legEnded' && entry.leg === phone.leg) {
      phone.leg = null;
      await phone.end();
      say(`the call is over: ${entry.result?.message ?? ''}`);
    }
  }
}

during(fill);
setInterval(() => during(count), 1000);
watch();
// For who drives this page from outside.
window.callrig = { phone };
