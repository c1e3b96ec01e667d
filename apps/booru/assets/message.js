// Short messages in a corner, which screen readers are told too, and questions in a dialog.

const TOASTS_MAX = 4;
const SHOWN_MS = 6000;

export function tell(text, kind = 'good') {
  const toasts = document.querySelector('.toasts');
  const toast = document.createElement('div');
  toast.className = kind === 'bad' ? 'toast is-bad' : 'toast';
  toast.textContent = text;
  toasts.append(toast);
  while (toasts.children.length > TOASTS_MAX) toasts.firstElementChild.remove();
  setTimeout(() => toast.remove(), SHOWN_MS);
}

export function tellError(error) {
  if (error.name !== 'AbortError') tell(error.message, 'bad');
}

// Asks by the dialog of this id; what its form has, or null where it was closed.
export function ask(dialog, fill = {}) {
  for (const [name, value] of Object.entries(fill)) {
    for (const place of dialog.querySelectorAll(`[data-fill="${name}"]`)) place.textContent = value;
    const field = dialog.querySelector('form').elements[name];
    if (!field) continue;
    if (field.type === 'checkbox') field.checked = value;
    else field.value = value;
  }
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      const form = dialog.querySelector('form');
      resolve(dialog.returnValue === 'yes' ? Object.fromEntries(new FormData(form)) : null);
    }, { once: true });
  });
}

// Whether a key press is meant for a field and not for the page.
export function isTyping(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  const target = event.target;
  return target.closest?.('textarea, select, [contenteditable], dialog, video')
    || (target.matches?.('input') && !['checkbox', 'radio', 'button'].includes(target.type));
}
