// The gallery: the endless grid, keys to walk it, images selected and edited together.

import { Grid } from './grid.js';
import { getJson, post, send } from './http.js';
import { ask, isTyping, tell, tellError } from './message.js';
import { keep } from './app.js';

const SELECTED_MAX = 10_000;
const count = new Intl.NumberFormat();
const element = document.querySelector('.grid');
const grid = new Grid(element);

// Where one was, for the way back.
history.scrollRestoration = 'manual';
let saving = 0;
const save = () => history.replaceState({ ...history.state, position: grid.position() }, '');
addEventListener('scroll', () => {
  clearTimeout(saving);
  saving = setTimeout(save, 250);
}, { passive: true });
addEventListener('pagehide', save);
if (history.state?.position) grid.go(history.state.position);
else if (grid.first > 0) grid.go({ at: grid.first * grid.perPage });
else grid.update();

const fit = document.querySelector('#fit');
fit.addEventListener('click', () => {
  const isWhole = document.documentElement.dataset.fit === 'whole';
  keep('fit', isWhole ? 'filled' : 'whole');
  fit.setAttribute('aria-pressed', String(!isWhole));
});
const sizes = ['small', 'medium', 'large'];
document.querySelector('#tiles').addEventListener('click', () => {
  const now = document.documentElement.dataset.tiles || 'medium';
  const kept = grid.position();
  keep('tiles', sizes[(sizes.indexOf(now) + 1) % sizes.length]);
  grid.measure();
  grid.layOut();
  grid.go({ at: kept.at });
});

// What is selected
const bar = document.querySelector('.bulk');
const picked = new Set();
let anchor = null;

const show = (tile) => {
  const is = picked.has(Number(tile.dataset.id));
  tile.classList.toggle('is-picked', is);
  const box = tile.querySelector('.pick input');
  if (box) box.checked = is;
};
const showAll = () => {
  for (const tile of element.children) show(tile);
  element.classList.toggle('is-selecting', picked.size > 0);
  if (!bar) return;
  bar.hidden = picked.size === 0;
  bar.querySelector('output').textContent = `${count.format(picked.size)} selected`;
};
const pick = (tile, is) => {
  const id = Number(tile.dataset.id);
  if (is && picked.size >= SELECTED_MAX) return tell(`At most ${count.format(SELECTED_MAX)} images at once.`, 'bad');
  if (is) picked.add(id);
  else picked.delete(id);
};
const idsOf = async (from, length) => {
  const address = `/tiles/ids?query=${encodeURIComponent(grid.query)}&from=${from}&count=${length}`;
  return (await getJson(address)).ids;
};
const pickRange = async (to) => {
  const from = Math.min(anchor, to);
  const length = Math.min(Math.abs(anchor - to) + 1, SELECTED_MAX - picked.size);
  const tiles = Array.from({ length }, (_, step) => grid.tile(from + step));
  try {
    const ids = tiles.every(Boolean) ? tiles.map((tile) => Number(tile.dataset.id)) : await idsOf(from, length);
    for (const id of ids) picked.add(id);
  } catch (error) {
    tellError(error);
  }
  showAll();
};
const pickEverything = async () => {
  try {
    const ids = await idsOf(0, Math.min(grid.total, SELECTED_MAX));
    for (const id of ids) picked.add(id);
    if (grid.total > SELECTED_MAX) tell(`The first ${count.format(SELECTED_MAX)} are selected: no more are edited at once.`);
  } catch (error) {
    tellError(error);
  }
  showAll();
};
const choose = (tile, isRange) => {
  const at = Number(tile.dataset.at);
  if (isRange && anchor != null) return pickRange(at);
  anchor = at;
  pick(tile, !picked.has(Number(tile.dataset.id)));
  showAll();
};

if (bar) {
  element.addEventListener('click', (event) => {
    const tile = event.target.closest('.tile');
    if (!tile) return;
    const isBox = event.target.closest('.pick');
    if (!isBox && !(picked.size > 0 || event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    choose(tile, event.shiftKey);
    // The box shows what was chosen once this click is done with it.
    setTimeout(() => show(tile));
  });
  // A long touch begins to select where there is no pointer to hover with.
  element.addEventListener('contextmenu', (event) => {
    const tile = event.target.closest('.tile');
    if (!tile || event.pointerType !== 'touch') return;
    event.preventDefault();
    choose(tile, false);
  });
  grid.addEventListener('tiles', () => showAll());
  bar.querySelector('[data-act="all"]').addEventListener('click', pickEverything);
  bar.querySelector('[data-act="none"]').addEventListener('click', () => {
    picked.clear();
    anchor = null;
    showAll();
  });
}

const reload = () => {
  save();
  location.reload();
};
// A form has at most 64 KiB.
const PIECE = 2000;
const sendInPieces = async (path, ids, fields = {}) => {
  for (let from = 0; from < ids.length; from += PIECE) {
    await send(path, { ...fields, images: ids.slice(from, from + PIECE).join(',') });
  }
};
const act = async (task) => {
  bar.inert = true;
  try {
    await task([...picked]);
  } catch (error) {
    tellError(error);
  } finally {
    bar.inert = false;
  }
};
bar?.querySelector('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const field = bar.querySelector('input');
  const words = field.value.split(/\s+/).filter(Boolean);
  const added = words.filter((word) => !word.startsWith('-'));
  const removed = words.filter((word) => word.startsWith('-')).map((word) => word.slice(1)).filter(Boolean);
  if (words.length === 0) return field.focus();
  act(async (ids) => {
    if (added.length > 0) await post('/api/images/bulk_add_tags', { ids, tags: added });
    if (removed.length > 0) await post('/api/images/bulk_remove_tags', { ids, tags: removed });
    field.value = '';
    tell(`Changed the tags of ${count.format(ids.length)} images.`);
  });
});
bar?.querySelector('[data-act="delete"]')?.addEventListener('click', () => act(async (ids) => {
  const answer = await ask(document.querySelector('#delete'), { count: count.format(ids.length) });
  if (!answer) return;
  await post('/api/delete_images_bulk', { ids });
  reload();
}));
bar?.querySelector('[data-act="favourite"]')?.addEventListener('click', () => act(async (ids) => {
  await sendInPieces('/edit/favourites', ids);
  tell(`${count.format(ids.length)} images are favourites.`);
}));
// They come in parts, until there are no more.
const everyPool = async () => {
  const pools = [];
  for (;;) {
    const part = await getJson(`/pools/choices?offset=${pools.length}`);
    if (part.length === 0) return pools;
    pools.push(...part);
  }
};
bar?.querySelector('[data-act="pool"]')?.addEventListener('click', () => act(async (ids) => {
  const dialog = document.querySelector('#pool');
  const pools = await everyPool();
  const select = dialog.querySelector('select');
  select.replaceChildren(...pools.map((pool) => new Option(pool.name, pool.id)));
  dialog.querySelector('[value="yes"]').disabled = pools.length === 0;
  const answer = await ask(dialog);
  if (!answer) return;
  await sendInPieces('/edit/pool', ids, { pool: answer.pool });
  tell(`Put into ${select.selectedOptions[0].text}.`);
}));

// Keys
const focused = () => document.activeElement?.closest?.('.tile');
const walk = async (step) => {
  const tile = focused();
  const at = tile ? Number(tile.dataset.at) + step : grid.position().at;
  if (at < 0 || at >= grid.total) return;
  if (!grid.tile(at)) await grid.go({ at });
  const next = grid.tile(at)?.querySelector('a');
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'nearest' });
};
document.addEventListener('keydown', (event) => {
  const isAll = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'a';
  if (isAll && bar && !event.target.closest('input, textarea, dialog')) {
    event.preventDefault();
    pickEverything();
    return;
  }
  if (isTyping(event)) return;
  const tile = focused();
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: grid.columns, ArrowUp: -grid.columns };
  if (event.key in steps) walk(steps[event.key]);
  else if ((event.key === 'x' || event.key === ' ') && tile && bar) choose(tile, event.shiftKey);
  else if (event.key === 'X' && tile && bar) choose(tile, true);
  else if (event.key === 'Escape' && picked.size > 0) {
    picked.clear();
    showAll();
  } else return;
  event.preventDefault();
});
