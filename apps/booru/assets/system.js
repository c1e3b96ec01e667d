// The table of memory, anew every few seconds while it is looked at.

import { getText } from './http.js';

const INTERVAL_MS = 3000;
const live = document.querySelector('#live');
const place = document.querySelector('#memory');

setInterval(async () => {
  if (!live.checked || document.hidden) return;
  try {
    const holder = document.createElement('template');
    holder.innerHTML = await getText('/system/memory');
    place.replaceChildren(holder.content);
  } catch {
    live.checked = false;
  }
}, INTERVAL_MS);
