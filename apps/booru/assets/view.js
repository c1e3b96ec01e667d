// One image: zoom, the next and the one before, tags, rating, favourite.

import { getJson, post, send } from './http.js';
import { ask, isTyping, tell, tellError } from './message.js';

const view = document.querySelector('.view');
const id = Number(view.dataset.id);
const frame = document.querySelector('.frame');
const picture = frame.querySelector('img');

// Zoom: fitted, or one pixel for one.
const zoom = (event) => {
  const box = frame.getBoundingClientRect();
  const share = event?.clientX == null ? [0.5, 0.5] : [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  const is = frame.classList.toggle('is-zoomed');
  document.querySelector('#zoom')?.setAttribute('aria-pressed', String(is));
  if (!is) return;
  frame.scrollLeft = share[0] * frame.scrollWidth - box.width / 2;
  frame.scrollTop = share[1] * frame.scrollHeight - box.height / 2;
};
picture?.addEventListener('click', zoom);
document.querySelector('#zoom')?.addEventListener('click', () => zoom());

const follow = (name) => document.querySelector(`a[rel="${name}"]`)?.click();

// Swipes, where the picture is not zoomed.
const SWIPE_MIN = 60;
let start = null;
frame.addEventListener('touchstart', (event) => {
  start = event.touches.length === 1 && !frame.classList.contains('is-zoomed')
    ? { x: event.touches[0].clientX, y: event.touches[0].clientY } : null;
}, { passive: true });
frame.addEventListener('touchend', (event) => {
  if (!start || visualViewport?.scale > 1.01) return;
  const { clientX, clientY } = event.changedTouches[0];
  const [across, down] = [clientX - start.x, clientY - start.y];
  if (Math.abs(across) > SWIPE_MIN && Math.abs(across) > 2 * Math.abs(down)) follow(across < 0 ? 'next' : 'prev');
}, { passive: true });

// The neighbours' pictures, so that a turn shows them at once.
for (const link of document.querySelectorAll('a[data-picture]')) {
  const wait = globalThis.requestIdleCallback ?? setTimeout;
  wait(() => { new Image().src = link.dataset.picture; });
}

// Another size of the same image.
const upscaled = document.querySelector('#upscaled');
upscaled?.addEventListener('click', () => {
  const is = upscaled.getAttribute('aria-pressed') !== 'true';
  upscaled.setAttribute('aria-pressed', String(is));
  picture.src = is ? upscaled.dataset.picture : upscaled.dataset.original;
});

const favourite = document.querySelector('#favourite');
const toggleFavourite = async () => {
  const is = favourite.getAttribute('aria-pressed') !== 'true';
  favourite.setAttribute('aria-pressed', String(is));
  try {
    await send(`/edit/${id}/favourite`, { is_favourite: is });
    favourite.value = String(!is);
  } catch (error) {
    favourite.setAttribute('aria-pressed', String(!is));
    tellError(error);
  }
};
favourite?.addEventListener('click', (event) => {
  event.preventDefault();
  toggleFavourite();
});

// Tags
const form = document.querySelector('#edit');
const edit = document.querySelector('#edit-tags');
const openEditor = (is) => {
  if (!form) return;
  form.hidden = !is;
  edit.setAttribute('aria-expanded', String(is));
  document.querySelector('.tags').hidden = is;
  if (!is) return edit.focus();
  // Behind the last word, so that what is typed is a word of its own.
  const words = form.querySelector('textarea');
  words.focus();
  words.setSelectionRange(words.value.length, words.value.length);
};
if (form) {
  // What a browser kept of an earlier visit would take away what others added since.
  const words = form.querySelector('textarea');
  words.value = words.defaultValue;
  edit.hidden = false;
  form.hidden = true;
  edit.addEventListener('click', () => openEditor(form.hidden));
  form.querySelector('[data-act="close"]').addEventListener('click', () => openEditor(false));
  form.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') openEditor(false);
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

const ratings = [...document.querySelectorAll('button[name="rating"]')];
const rate = async (button) => {
  try {
    await send(`/edit/${id}/rating`, { rating: button.value });
    for (const other of ratings) other.setAttribute('aria-pressed', String(other === button));
    tell(`Rated ${button.value}.`);
  } catch (error) {
    tellError(error);
  }
};
for (const button of ratings) {
  button.addEventListener('click', (event) => {
    event.preventDefault();
    rate(button);
  });
}

document.querySelector('#delete-image')?.addEventListener('click', async (event) => {
  event.preventDefault();
  if (!await ask(document.querySelector('#delete'))) return;
  try {
    await post('/api/delete_image', { id });
    location.assign(document.querySelector('a[rel="next"]')?.href ?? document.querySelector('#results').href);
  } catch (error) {
    tellError(error);
  }
});

document.addEventListener('keydown', (event) => {
  if (isTyping(event)) return;
  const isPanning = frame.classList.contains('is-zoomed');
  if (event.key === 'ArrowRight' && !isPanning) follow('next');
  else if (event.key === 'ArrowLeft' && !isPanning) follow('prev');
  else if (event.key === 'z') zoom();
  else if (event.key === 'Escape' && isPanning) zoom();
  else if (event.key === 'f') favourite?.click();
  else if (event.key === 'e') openEditor(true);
  else if (event.key === 'u') document.querySelector('#results').click();
  else if (event.key === 'd') document.querySelector('#download').click();
  else if (/^[1-4]$/.test(event.key)) ratings[Number(event.key) - 1]?.click();
  else return;
  event.preventDefault();
});

// Images like this one, once they are in sight.
const strip = document.querySelector('#similar');
if (strip) {
  new IntersectionObserver(async (entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    try {
      const answer = await getJson(`/api/similar/${id}`);
      strip.replaceChildren(...(answer.images).map(tile));
      strip.closest('section').hidden = strip.children.length === 0;
    } catch {
      strip.closest('section').hidden = true;
    }
  }, { rootMargin: '200px' }).observe(strip);
}

function tile(image) {
  const item = document.createElement('li');
  item.className = 'tile';
  const link = document.createElement('a');
  link.href = `/view/${Number(image.id)}`;
  const small = document.createElement('img');
  small.src = `/thumbnails/@${Number(image.id)}`;
  small.alt = `Image ${Number(image.id)}`;
  small.loading = 'lazy';
  link.append(small);
  item.append(link);
  return item;
}
