// What every page has: search with completion, theme, keys, files dropped anywhere.

import { complete } from './complete.js';
import { ask, isTyping } from './message.js';

document.documentElement.classList.add('js');

for (const input of document.querySelectorAll('[data-completes]')) {
  const kinds = input.dataset.completes === 'tags' ? ['tag'] : undefined;
  complete(input, { kinds });
}

// Kept in a cookie, so that the server sends the page in it and nothing flashes.
const YEAR_SECONDS = 365 * 24 * 3600;
export function keep(name, value) {
  document.documentElement.dataset[name] = value;
  document.cookie = `${name}=${value}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`;
}

const themes = ['auto', 'light', 'dark'];
const toggle = document.querySelector('#theme');
const showTheme = () => {
  const now = document.documentElement.dataset.theme || 'auto';
  toggle.querySelector('span').textContent = `Theme: ${now}`;
};
toggle?.addEventListener('click', () => {
  const now = document.documentElement.dataset.theme || 'auto';
  keep('theme', themes[(themes.indexOf(now) + 1) % themes.length]);
  showTheme();
});
if (toggle) showTheme();

const help = document.querySelector('#keys');
const search = document.querySelector('#search');
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && event.target === search) search.blur();
  if (isTyping(event)) return;
  if (event.key === '/' && search) {
    event.preventDefault();
    search.focus();
    search.setSelectionRange(search.value.length, search.value.length);
  } else if (event.key === '?' && help) {
    event.preventDefault();
    ask(help);
  }
});
document.querySelector('#show-keys')?.addEventListener('click', () => ask(help));

// Pictures that do not come say so by their text, in a frame that looks meant.
document.addEventListener('error', (event) => {
  event.target.closest?.('.tile')?.classList.add('is-broken');
}, true);

if (document.body.dataset.canUpload) import('./drop.js');
