// The order of a pool, changed by dragging or by keys, and saved at once.

import { send } from './http.js';
import { tell, tellError } from './message.js';

const grid = document.querySelector('.grid');
const button = document.querySelector('#save-order');
let dragged = null;

const changed = () => {
  button.hidden = false;
};

if (button) {
  document.querySelector('#order-hint').hidden = false;
  for (const tile of grid.children) tile.draggable = true;

  grid.addEventListener('dragstart', (event) => {
    dragged = event.target.closest('.tile');
    event.dataTransfer.effectAllowed = 'move';
  });
  grid.addEventListener('dragover', (event) => {
    const over = event.target.closest('.tile');
    if (!dragged) return;
    event.preventDefault();
    if (!over || over === dragged) return;
    const box = over.getBoundingClientRect();
    const isBehind = event.clientX > box.left + box.width / 2;
    over[isBehind ? 'after' : 'before'](dragged);
    changed();
  });
  grid.addEventListener('dragend', () => { dragged = null; });

  grid.addEventListener('keydown', (event) => {
    const tile = event.target.closest('.tile');
    if (!tile || !event.altKey || !['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    event.preventDefault();
    const isBack = event.key === 'ArrowLeft';
    const other = isBack ? tile.previousElementSibling : tile.nextElementSibling;
    if (!other) return;
    other[isBack ? 'before' : 'after'](tile);
    tile.querySelector('a').focus();
    changed();
    const place = [...grid.children].indexOf(tile) + 1;
    tell(`Image ${tile.dataset.id} is at place ${place}.`);
  });

  button.addEventListener('click', async () => {
    const images = [...grid.children].map((tile) => tile.dataset.id).join(',');
    try {
      await send(`/pool/${grid.dataset.pool}`, { action: 'order', images });
      button.hidden = true;
      tell('The order is saved.');
    } catch (error) {
      tellError(error);
    }
  });
}
