// Files dropped on any page, or chosen on the page to upload by, are sent to the board: each with its progress,
// and what became of it.

import { csrfToken, getJson } from './http.js';
import { tell } from './message.js';

// The server takes four at once from everybody.
const AT_ONCE = 2;
const waiting = [];
let running = 0;

const list = () => {
  const known = document.querySelector('#uploads');
  if (known) {
    known.closest('section').hidden = false;
    return known;
  }
  const panel = document.createElement('section');
  panel.className = 'panel uploads is-floating';
  panel.setAttribute('aria-label', 'Uploads');
  const items = document.createElement('ul');
  items.className = 'files';
  items.id = 'uploads';
  panel.append(items);
  document.body.append(panel);
  return items;
};

function row(file) {
  const item = document.createElement('li');
  const picture = document.createElement('img');
  picture.alt = '';
  picture.width = 56;
  picture.height = 56;
  if (file.type.startsWith('image/')) {
    picture.src = URL.createObjectURL(file);
    picture.addEventListener('load', () => URL.revokeObjectURL(picture.src), { once: true });
  }
  const name = document.createElement('span');
  name.className = 'name';
  name.textContent = file.name;
  const progress = document.createElement('progress');
  progress.className = 'bar';
  progress.max = 1;
  progress.value = 0;
  progress.setAttribute('aria-label', `Sent of ${file.name}`);
  const state = document.createElement('span');
  state.setAttribute('role', 'status');
  state.textContent = 'Waits';
  const middle = document.createElement('div');
  middle.append(name, progress);
  item.append(picture, middle, state);
  list().append(item);
  return {
    say(text, kind, href) {
      state.className = kind ? `outcome-${kind}` : '';
      state.replaceChildren(text);
      if (href) {
        const link = document.createElement('a');
        link.href = href;
        link.textContent = text;
        state.replaceChildren(link);
      }
    },
    advance(share) { progress.value = share; },
    finish() { progress.remove(); },
  };
}

// `fetch` tells nothing of what is sent.
function put(file, shown) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/api/upload');
    request.setRequestHeader('X-CSRF-Token', csrfToken());
    request.responseType = 'json';
    request.upload.addEventListener('progress', (event) => {
      if (event.lengthComputable) shown.advance(event.loaded / event.total);
    });
    request.addEventListener('load', () => resolve({ status: request.status, answer: request.response }));
    request.addEventListener('error', () => resolve({ status: 0, answer: null }));
    const form = new FormData();
    form.append('files', file, file.name);
    request.send(form);
  });
}

async function send({ file, shown }) {
  shown.say('Sending');
  const { status, answer } = await put(file, shown);
  shown.finish();
  const stored = answer?.files?.[0];
  if (status === 503) {
    waiting.push({ file, shown });
    shown.say('Waits');
  } else if (status === 200 && stored) {
    shown.say('Sent, to be taken in');
    follow(stored.stored_as, shown);
  } else {
    shown.say(answer?.error ?? 'The board does not answer', 'bad');
  }
}

// What became of the files that were sent: one question for all of them, asked less and less often while there
// is no news.
const ASK_MS = 1500;
const ASK_MS_MAX = 30_000;
// The server tells of so many at once.
const FATES_MAX = 32;
// A file has gone from its folder a moment before it is known to be on the board.
const GONE_MAX = 4;
const UNKNOWN = 'Sent; what became of it is not known';
const followed = new Map();
let pause = ASK_MS;
let timer = null;
let isAsking = false;

function follow(name, shown) {
  followed.get(name)?.shown.say(UNKNOWN, 'known');
  followed.set(name, { shown, gone: 0 });
  pause = ASK_MS;
  if (!isAsking) askLater();
}

function askLater() {
  clearTimeout(timer);
  if (followed.size > 0) timer = setTimeout(askFates, pause);
}

async function askFates() {
  const asked = [...followed].slice(0, FATES_MAX);
  let isNews = false;
  isAsking = true;
  try {
    const names = new URLSearchParams(asked.map(([name]) => ['name', name]));
    const fates = await getJson(`/upload/fates?${names}`);
    asked.forEach(([name, one], at) => {
      if (followed.get(name) !== one) return;
      // The others are asked for first the next time.
      followed.delete(name);
      if (isDecided(one, fates[at])) isNews = true;
      else followed.set(name, one);
    });
  } catch (error) {
    // A server that is busy or starts anew is asked again.
    const isForNow = error.status === 0 || error.status === 408 || error.status >= 500;
    if (!isForNow) {
      for (const { shown } of followed.values()) shown.say(UNKNOWN, 'known');
      followed.clear();
    }
  }
  isAsking = false;
  pause = isNews ? ASK_MS : Math.min(1.5 * pause, ASK_MS_MAX);
  askLater();
}

function isDecided(one, fate) {
  const { shown } = one;
  if (fate.state === 'on_board') shown.say(fate.is_new ? 'On the board' : 'On the board already', fate.is_new ? 'good' : 'known', fate.href);
  else if (fate.state === 'set_aside') shown.say(`Set aside: ${fate.reason}`, 'bad');
  else if (fate.state === 'left') shown.say('Sent; this server takes no new files in', 'known');
  else if (fate.state === 'gone') {
    one.gone += 1;
    if (one.gone < GONE_MAX) return false;
    shown.say('No longer in the folder for new images', 'known');
  } else return false;
  return true;
}

function next() {
  while (running < AT_ONCE && waiting.length > 0) {
    running += 1;
    send(waiting.shift()).finally(() => {
      running -= 1;
      setTimeout(next, running === 0 ? 300 : 0);
    });
  }
}

export function upload(files) {
  for (const file of files) waiting.push({ file, shown: row(file) });
  next();
}

const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
let inside = 0;
document.addEventListener('dragenter', (event) => {
  if (!hasFiles(event)) return;
  inside += 1;
  document.body.classList.add('is-dropping');
});
document.addEventListener('dragleave', (event) => {
  if (!hasFiles(event)) return;
  inside -= 1;
  if (inside <= 0) document.body.classList.remove('is-dropping');
});
document.addEventListener('dragover', (event) => {
  if (hasFiles(event)) event.preventDefault();
});
document.addEventListener('drop', (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  inside = 0;
  document.body.classList.remove('is-dropping');
  const files = [...event.dataTransfer.files];
  if (files.length === 0) tell('There is no file in what was dropped.', 'bad');
  upload(files);
});
const field = document.querySelector('#files');
const takeChosen = () => {
  upload([...field.files]);
  field.value = '';
};
field?.addEventListener('change', takeChosen);
// A quick hand chose files before this script was here.
if (field) takeChosen();
addEventListener('beforeunload', (event) => {
  if (running > 0 || waiting.length > 0) event.preventDefault();
});
