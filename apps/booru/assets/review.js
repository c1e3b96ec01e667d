// The queue of suggestions by keys, without leaving the page.

import { send } from './http.js';
import { isTyping, tellError } from './message.js';

const rows = () => [...document.querySelectorAll('.reviewed li')];
const current = () => document.activeElement?.closest?.('.reviewed li');
const focus = (row) => row?.querySelector('button')?.focus();

// Decides, and goes on with what follows.
async function decide(form, action) {
  // A list: the form of an image has a field for each of its tags.
  const fields = [...new FormData(form), ['action', action]];
  try {
    await send('/review', fields);
  } catch (error) {
    tellError(error);
    return;
  }
  const row = form.closest('li');
  const panel = form.closest('.reviewed');
  const all = rows();
  const gone = row ? [row] : [...panel.querySelectorAll('li')];
  const next = all[all.indexOf(gone[gone.length - 1]) + 1] ?? all[all.indexOf(gone[0]) - 1];
  for (const one of gone) one.remove();
  if (!panel.querySelector('li')) panel.remove();
  if (next) focus(next);
  else location.reload();
}

document.addEventListener('submit', (event) => {
  if (event.target.getAttribute('action') !== '/review') return;
  event.preventDefault();
  decide(event.target, event.submitter.value);
});

document.addEventListener('keydown', (event) => {
  if (isTyping(event)) return;
  const all = rows();
  const at = all.indexOf(current());
  if (event.key === 'j') focus(all[Math.min(at + 1, all.length - 1)]);
  else if (event.key === 'k') focus(all[Math.max(at - 1, 0)]);
  else if (event.key === 'a' && at >= 0) decide(all[at].querySelector('form'), 'accept');
  else if (event.key === 'r' && at >= 0) decide(all[at].querySelector('form'), 'reject');
  else return;
  event.preventDefault();
});
