// Pairs decided by keys; deletions are asked about first.

import { post } from './http.js';
import { ask, isTyping, tellError } from './message.js';

const sides = document.querySelector('.sides');
const form = document.querySelector('.decide');

for (const button of form.querySelectorAll('[data-delete]')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    const id = Number(sides.dataset[button.dataset.delete]);
    if (!await ask(document.querySelector('#delete'), { id })) return;
    try {
      await post('/api/delete_image', { id });
      location.reload();
    } catch (error) {
      tellError(error);
    }
  });
}

document.addEventListener('keydown', (event) => {
  if (isTyping(event)) return;
  const pressed = event.key.length === 1
    && document.querySelector(`[aria-keyshortcuts="${CSS.escape(event.key)}"]`);
  if (!pressed || pressed.id === 'search') return;
  event.preventDefault();
  pressed.click();
});
